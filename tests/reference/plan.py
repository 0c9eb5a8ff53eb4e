"""The order of an epoch, written a second time from its definition: SplitMix64, Fisher-Yates, best-fit decreasing.

Prints the numbers that src/engine/data/pack.rs pins. Standard library only.
"""

MASK = (1 << 64) - 1


class Random:
    def __init__(self, seed, purpose, epoch):
        h = 0xCBF29CE484222325
        for b in purpose.encode():
            h = ((h ^ b) * 0x100000001B3) & MASK
        self.state = seed ^ h
        self.state = self.next() ^ epoch
        self.state = self.next()

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, n):
        limit = (1 << 64) - (1 << 64) % n
        while (drawn := self.next()) >= limit:
            pass
        return drawn % n

    def shuffle(self, items):
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]


def best_fit_decreasing(lengths, capacity):
    bins = []
    for item in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        fitting = [b for b in bins if sum(lengths[i] for i in b) + lengths[item] <= capacity]
        if fitting:
            max(fitting, key=lambda b: sum(lengths[i] for i in b)).append(item)
        else:
            bins.append([item])
    return bins


def plan(lengths, batch_size, packing, capacity, seed, epoch):
    random = Random(seed, "order of an epoch", epoch)
    order = list(range(len(lengths)))
    random.shuffle(order)
    if packing:
        bins = best_fit_decreasing([lengths[i] for i in order], capacity)
        bins = sorted(sorted(order[i] for i in b) for b in bins)
        random.shuffle(bins)
        for b in bins:
            random.shuffle(b)
    else:
        bins = [[i] for i in order]
    return [sum(bins[i : i + batch_size], []) for i in range(0, len(bins), batch_size)]


LENGTHS = [30, 60, 90, 20, 70, 10, 40, 50]
print("unpacked", plan(LENGTHS, 3, False, 100, 42, 0))
print("packed", plan(LENGTHS, 2, True, 100, 42, 0))
print("packed, epoch 1", plan(LENGTHS, 2, True, 100, 42, 1))
