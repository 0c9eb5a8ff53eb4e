"""Numbers for fixtures that are the same on every machine, in Python and in Rust."""

import numpy as np


def byte_sums(n, seed):
    """Sums of four bytes of splitmix64 around zero, -510 to 510, as int64."""
    with np.errstate(over="ignore"):
        x = (np.arange(n, dtype=np.uint64) + np.uint64(seed * 1_000_003 + 1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return sum(((x >> np.uint64(8 * i)) & np.uint64(255)).astype(np.int64) for i in range(4)) - 510
