"""The numbers of the complexity paper's sweeps, beside ours."""

import math

import pandas as pd

from pruncam import places

CLASSES = {"CIFAR-10": 10, "CIFAR-100": 100, "STL-10": 10}


def published() -> pd.DataFrame:
    """Half, rate, quantity (accuracy and its change, CSG of the training set), the printed value, source and flag."""
    return pd.read_csv(places.package_folder() / "published" / "sweeps.csv", keep_default_na=False)


def sweep() -> pd.DataFrame:
    """Table 2 as a sweep: half, csg, csg_relative, rate, acc_drop, relative_loss and flag."""
    table = published()
    of = {name: table[table["quantity"] == name].set_index("half")["value"] for name in ("accuracy", "csg")}
    rows = table[table["quantity"] == "change"]
    found = pd.DataFrame({"half": rows["half"], "rate": rows["rate"], "acc_drop": -rows["value"], "flag": rows["flag"]})
    classes = found["half"].map(CLASSES)
    above_chance = found["half"].map(of["accuracy"]) - 100 / classes
    csg = found["half"].map(of["csg"])
    return found.assign(csg=csg, csg_relative=csg / (classes - 1), relative_loss=found["acc_drop"] / above_chance)


def beside(ours: pd.DataFrame) -> pd.DataFrame:
    """Table 2: printed and our change of accuracy at every rate; `ours` is a sweep without fine-tuning."""
    table = published()
    table = table[table["quantity"] == "change"].rename(columns={"value": "published"})
    own = ours.assign(ours=0 - ours["acc_drop"], low=0 - ours["high"], high=0 - ours["low"])  # -0.0 would show
    found = table.merge(own[["half", "rate", "ours", "low", "high"]], on=["half", "rate"], how="left")
    found = found.assign(difference=found["ours"] - found["published"])
    return found[["half", "rate", "published", "ours", "low", "high", "difference", "flag"]]


def numbers(ours: pd.DataFrame, complexity: pd.DataFrame) -> pd.DataFrame:
    """Every printed number with ours and the difference; ours is empty where the profile has no such data set."""
    rows = []
    for printed in published().itertuples():
        own, sd, draws = math.nan, math.nan, 1
        part, measured = ours[ours["half"] == printed.half], complexity[complexity["half"] == printed.half]
        at = part[(part["rate"] - printed.rate).abs() < 1e-9]
        if printed.quantity == "csg" and len(measured):
            own, sd, draws = (measured[name].iloc[0] for name in ("csg", "csg_sd", "draws"))
        elif printed.quantity == "accuracy" and len(part):
            own = part["baseline"].iloc[0]
        elif printed.quantity == "change" and len(at):
            own = -at["acc_drop"].iloc[0]
        name = {"csg": "CSG of the training images", "accuracy": "accuracy"}.get(
            printed.quantity, f"change of accuracy at {100 * printed.rate:g} %"
        )
        unit = {"csg": "", "accuracy": "%"}.get(printed.quantity, "points")
        row = {"quantity": f"{printed.half}: {name}", "unit": unit, "published": printed.value}
        row |= {"source": printed.source, "ours": own, "sd": sd, "seeds": draws, "difference": own - printed.value}
        rows.append(row)
    return pd.DataFrame(rows)
