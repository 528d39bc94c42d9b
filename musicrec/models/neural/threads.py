"""How many threads a training takes on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Of a step: with fewer a second thread has little to do and may be waited for.
_MANY_PRODUCTS = 1 << 27


@contextmanager
def threads_for(products: int) -> Iterator[None]:
    """One thread for small steps, as many as before for large ones.

    The hundred operations of a small step each take less than a thread takes to start. On a machine with other work
    the second thread is waited for at each of them: on two cores with ten processes a step took 6 to 40 times as long
    with two threads as with one.

    Parameters
    ----------
    products : of numbers, that scoring the plays of a step takes.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1 if products < _MANY_PRODUCTS else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
