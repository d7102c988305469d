"""Pictures of one's own: decoded by the package's one reader of images."""

from dataclasses import dataclass

from torch import Tensor

from pruncam._core.text import printable
from pruncam.datasets.decoding import Decoder, decode_file
from pruncam.datasets.file_tree import File


@dataclass(frozen=True)
class Picture(File):
    """An image file that is in memory, such as an uploaded one."""

    content: bytes

    def read(self) -> bytes:
        """Return the content of the file."""
        return self.content

    def fingerprint(self) -> str:
        """Return the name and the size of the file."""
        return f"{self.name} {len(self.content)}"

    def pixels(self, size: int) -> Tensor:
        """Return the centre of the picture in RGB, uint8 (3, size, size).

        The shorter side is resized to `size`. Raises DataError for a file that is no image.
        """
        return decode_file(self, Decoder(size=size)).pixels


def picture(name: str, content: bytes) -> Picture:
    """Return a picture; `name` is that of its file.

    Raises DataError, in one sentence, if the content cannot be read as an image.
    """
    file_name = printable(name)
    result = Picture((file_name,), file_name, 0, bytes(content))
    result.pixels(size=1)
    return result
