"""NumPy arrays as .npy files, mapped when read; SciPy's sparse matrices as .npz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MAPPED_BYTES = 64 << 10


class NumpyArray:
    """numpy.ndarray <-> .npy. What is read can be written to: only the reader's own pages change."""

    format, suffix, types = "npy", ".npy", ("numpy.ndarray", "numpy.generic")

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        import numpy as np

        from fairway.step.serializers.hashed import HashedFile

        if isinstance(value, np.ma.MaskedArray):
            raise DefinitionError("a masked array would lose its mask", hint="return a.filled(value), or {'data': a.data, 'mask': a.mask}")
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise DefinitionError(
                "an array of Python objects has no stored format", hint="use a dtype of numbers or text, or return a list"
            )
        fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        whole = array.T if fortran else np.ascontiguousarray(array)
        header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": bool(fortran), "shape": array.shape}
        with HashedFile(path) as file:
            try:
                np.lib.format.write_array_header_1_0(file, header)
            except ValueError:  # names of fields that only a later version of the format can say
                np.lib.format.write_array(file, array, allow_pickle=False)  # type: ignore[arg-type]
            else:
                if array.nbytes:
                    file.write(whole.reshape(-1).view("u1"))
        return {"digest": file.digest, "shape": list(array.shape), "dtype": str(array.dtype), "scalar": isinstance(value, np.generic)}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        import numpy as np

        if path.stat().st_size < _MAPPED_BYTES:
            array = np.load(path, allow_pickle=False)
        else:
            array = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
        return array[()] if meta.get("scalar") else array


class SparseMatrix:
    """scipy.sparse matrices and arrays <-> .npz, uncompressed."""

    format, suffix, types = "npz", ".npz", ("scipy.sparse.spmatrix", "scipy.sparse.sparray")

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        import scipy.sparse

        kept = value if value.format in ("csr", "csc", "coo", "bsr", "dia") else value.tocsr()
        scipy.sparse.save_npz(path, kept, compressed=False)
        return {"shape": list(value.shape), "nonzero": int(value.nnz), "kind": value.format}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        import scipy.sparse

        with path.open("rb") as file:
            made = scipy.sparse.load_npz(file)
        return made.asformat(meta.get("kind", made.format))
