"""Images of many files, kept in a folder so that they are made once."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from larmlreco.errors import InputError
from larmlreco.io.reader import Reader
from larmlreco.products import Product, ProductKey
from larmlreco.progress import Progress
from larmlreco.train.images import LabelledImage
from larmlreco.train.store import ImageStore


def cached_images(
    paths: Sequence[Path], make: Callable[[Path], Iterable[LabelledImage]], facts: str, cache: Path | None
) -> ImageStore:
    """Images of all files, made by ``make``.

    What was made of a file is kept in the folder ``cache``, under a name that changes with the file and with ``facts``,
    what the images depend on beside it. Raises ``InputError`` for a file that does not exist, and where ``make`` does.
    """
    stores = []
    progress = Progress(len(paths), "files of images")
    for number, path in enumerate(paths):
        if not path.is_file():
            raise InputError(f"{path} does not exist")
        kept = cache / f"{path.stem}-{fingerprint(path, facts)}.npz" if cache else None
        if kept is not None and kept.exists():
            stores.append(ImageStore.load(kept))
        else:
            stores.append(ImageStore.collect(make(path)))
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                stores[-1].save(kept)
        progress.update(number + 1)
    return ImageStore.concatenate(stores)


def only_key(reader: Reader, product: type[Product]) -> ProductKey | None:
    """Key of the product of this type, ``None`` without one. Raises ``InputError`` where there are several."""
    keys = [key for key in reader.keys("event") if key.type == product.__name__]
    if len(keys) > 1:
        raise InputError(f"{reader.path} holds {len(keys)} products of type {product.__name__}; expected one")
    return keys[0] if keys else None


def fingerprint(path: Path, facts: str) -> str:
    """What the images of a file depend on, as far as it can change without a change of this package's version."""
    stat = path.stat()
    text = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {facts}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
