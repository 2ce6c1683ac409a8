"""A million waits: when each is to wake, and how late it did."""

import measure

# Tries with more and more time to fall asleep in.
TRIES = 5

# Above all counts, and a prime: no two have the same moment.
STEP = 4_294_967_311

# A clock of floating-point seconds is right to far less than this.
EXACT = 1e-6


class Night:
    """All sleep before the first is woken; then one after the other wakes."""

    # The most memory that any night took: a later one has what those before it have left.
    most = 0

    def __init__(self, order, clock, attempt):
        self.clock = clock
        self.asleep = 0
        self.late = []
        self.lead = max(order.at_least, order.for_each * order.count) * 2**attempt
        self.first = clock() + self.lead
        step = order.apart
        self.moments = [
            self.first + step * (index * STEP % order.count) for index in range(order.count)
        ]
        self.before = measure.pages()

    def woken(self, moment):
        late = self.clock() - moment
        assert late > -EXACT, "a sleeper was woken too early"
        self.late.append(max(0, round(late * 1e9)))

    def all_asleep(self):
        """To be called when all are; false when the first was to be awake by then."""
        Night.most = max(Night.most, measure.pages() - self.before)
        return self.clock() < self.first

    def found(self):
        return {
            "results": [(late, 0) for late in self.late],
            "unit_bytes": Night.most // len(self.late),
            "remarks": [
                f"all slept at once, woken from {self.lead * 1e3:.0f} ms on; latency is how late "
                "each woke"
            ],
        }
