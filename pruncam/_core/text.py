"""Texts that can be written to any file."""


def printable(name: str) -> str:
    r"""Return a file name as UTF-8 text; bytes that are not UTF-8 are written as `\xe9`.

    Examples
    --------
    >>> printable(b"caf\xe9.png".decode("utf-8", "surrogateescape"))
    'caf\\xe9.png'
    """
    try:
        content = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte
        content = name.encode("utf-8", "backslashreplace")
    return content.decode("utf-8", "backslashreplace")
