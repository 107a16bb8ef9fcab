"""Archives that tests make, in the formats of published data sets."""

import gzip
import io
import tarfile
from pathlib import Path

Members = dict[str, bytes]


def write_tar(path: Path, members: Members) -> Path:
    """The members as a .tar.gz at `path`."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    path.write_bytes(gzip.compress(raw.getvalue(), 1))
    return path
