"""Files as `torch.save` writes them, in both formats, written without PyTorch.

What they pickle is named as in PyTorch: modules of that name stand in for it while a file is
written.
"""

import contextlib
import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {"float32": "FloatStorage", "int64": "LongStorage", "float16": "HalfStorage"}


class Saved:
    """An array to be pickled as a tensor: some elements of a storage."""

    def __init__(
        self, storage: np.ndarray, key: Any, shape: tuple, strides: tuple, offset: int = 0
    ):
        self.storage = storage
        self.key = key
        self.shape = shape
        self.strides = strides
        self.offset = offset

    def __reduce__(self) -> tuple:
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (
            self.reference(),
            self.offset,
            self.shape,
            self.strides,
            False,
            OrderedDict(),
        )

    def reference(self) -> "Reference":
        return Reference(self.storage, self.key)


class Reference:
    """What stands for a storage, whose numbers follow."""

    def __init__(self, storage: np.ndarray, key: Any):
        self.storage = storage
        self.key = key


def saved(array: np.ndarray, key: str) -> Saved:
    """A tensor that is the whole of its storage."""
    whole = array.copy()
    strides = tuple(s // array.itemsize for s in whole.strides)
    return Saved(whole.reshape(-1), key, array.shape, strides)


def saved_all(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return OrderedDict(
        (name, saved(array, str(i))) for i, (name, array) in enumerate(arrays.items())
    )


def write_zipped(path: Path, tree: Any) -> None:
    """The format since PyTorch 1.6: an archive of the pickle and of each storage."""
    (pickled, storages) = _pickled(tree, view=False)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, storage in storages.items():
            archive.writestr(f"archive/data/{key}", storage.tobytes())


def write_legacy(path: Path, tree: Any) -> None:
    """The format before it: pickles, then each storage behind its length."""
    (pickled, storages) = _pickled(tree, view=True)
    with path.open("wb") as file:
        for head in (MAGIC, 1001, {"little_endian": True}):
            pickle.dump(head, file, protocol=2)
        file.write(pickled)
        pickle.dump(list(storages), file, protocol=2)
        for storage in storages.values():
            file.write(struct.pack("<q", storage.size) + storage.tobytes())


def locked(path: Path) -> None:
    """Mark the entries of an archive as encrypted."""
    whole = bytearray(path.read_bytes())
    for head, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = whole.find(head)
        while place >= 0:
            whole[place + flags] |= 1
            place = whole.find(head, place + 1)
    path.write_bytes(bytes(whole))


def _pickled(tree: Any, view: bool) -> tuple[bytes, dict[str, np.ndarray]]:
    storages: dict[str, np.ndarray] = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> tuple | None:
            if not isinstance(obj, Reference):
                return None
            # A key that is no text is never read: its hash may take for ever
            storages[obj.key if isinstance(obj.key, str) else "0"] = obj.storage
            kind = getattr(sys.modules["torch"], STORAGES[str(obj.storage.dtype)])
            return ("storage", kind, obj.key, "cpu", obj.storage.size, *((None,) if view else ()))

    buffer = io.BytesIO()
    with _stand_ins():
        Pickler(buffer, protocol=2).dump(tree)
    return buffer.getvalue(), storages


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    """Modules named as PyTorch's, which hold what a file of weights names."""

    def _rebuild_tensor_v2() -> None:
        """Never called: its name is pickled."""

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils = types.ModuleType("torch._utils")
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    torch = types.ModuleType("torch")
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    kept = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        yield
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
