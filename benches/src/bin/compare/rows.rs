//! What programs that measure themselves once measure: the rows of `compare exec`, `sync`, `files`,
//! `udp`, `lines`, `tls`, `children`, `messages`, `pools`.

/// One thing that all programs of a kind measure.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) arguments: &'static [&'static str],
    /// Figures that are compared.
    pub(crate) columns: Shown,
    /// Figures that are only shown.
    pub(crate) also: Shown,
}

/// Metric, header, what it is divided by, decimal places.
type Shown = &'static [(&'static str, &'static str, f64, usize)];

const fn row(
    name: &'static str,
    title: &'static str,
    arguments: &'static [&'static str],
    columns: Shown,
) -> Row {
    Row { name, title, arguments, columns, also: &[] }
}

const NS: Shown = &[("ns", "ns", 1.0, 1)];
const US: Shown = &[("ns", "us", 1000.0, 2)];
const BYTES: Shown = &[("bytes", "bytes", 1.0, 0)];
/// Time per unit, and CPU time of the process.
const WORK: Shown = &[("ns", "us", 1000.0, 2), ("cpu_ns", "CPU us", 1000.0, 2)];
/// The same of what is quick.
const QUICK: Shown = &[("ns", "ns", 1.0, 1), ("cpu_ns", "CPU ns", 1.0, 1)];

pub(crate) const EXEC: &[Row] = &[
    row("spawn", "spawn and join a task, one after the other", &["spawn"], NS),
    row("spawn-many", "spawn and join a thousand tasks, each", &["spawn-many"], NS),
    row("yield", "yield with 1000 tasks", &["yield", "--tasks=1000"], NS),
    row("timeout", "timeout(60 s) round a future that is ready after one yield", &["timeout"], NS),
    row(
        "timeout-ready",
        "timeout(60 s) round a future that is ready at once",
        &["timeout-ready"],
        NS,
    ),
    row(
        "sleep",
        "200 000 sleeping tasks, resident memory each",
        &["sleep", "--tasks=200000"],
        BYTES,
    ),
];

pub(crate) const SYNC: &[Row] = &[
    row("lock", "a free lock, taken and given back", &["lock"], NS),
    row("lock-contended", "a lock that 100 tasks want, held over a yield", &["lock-contended"], NS),
    row("semaphore", "a free permit, taken and given back", &["semaphore"], NS),
    row(
        "semaphore-contended",
        "10 permits that 100 tasks want, held over a yield",
        &["semaphore-contended"],
        NS,
    ),
    row("queue", "a queue with room for 64 from task to task, per item", &["queue"], NS),
    row("gather", "1000 tasks that yield once, gathered in order, each", &["gather"], NS),
];

pub(crate) const FILES: &[Row] = &[
    row(
        "random-1",
        "direct reads of 4 KiB at random, one at a time",
        &["random", "--depth=1"],
        WORK,
    ),
    row(
        "random-32",
        "direct reads of 4 KiB at random, 32 at a time",
        &["random", "--depth=32"],
        WORK,
    ),
    row(
        "random-128",
        "direct reads of 4 KiB at random, 128 at a time",
        &["random", "--depth=128"],
        WORK,
    ),
    row("sequential", "direct reads of 1 MiB, one after the other", &["sequential"], WORK),
    row("copy", "copies of files of 4 KiB, eight at a time (cp: one)", &["copy"], WORK),
];

const fn datagrams(
    name: &'static str,
    title: &'static str,
    arguments: &'static [&'static str],
) -> Row {
    let also: Shown = &[("per_second", "packets/s", 1.0, 0), ("lost_percent", "lost %", 1.0, 2)];
    Row { also, ..row(name, title, arguments, WORK) }
}

pub(crate) const UDP: &[Row] = &[
    datagrams("answer-1", "64 B answered, one at a time", &["answer"]),
    datagrams("answer-32", "64 B answered, 32 under way", &["answer", "--depth=32"]),
    datagrams("answer-128", "64 B answered, 128 under way", &["answer", "--depth=128"]),
    datagrams(
        "tasks-32",
        "64 B answered, 32 under way, a task for each answer",
        &["answer-by-tasks", "--depth=32"],
    ),
    datagrams(
        "answer-32-large",
        "1400 B answered, 32 under way",
        &["answer", "--depth=32", "--size=1400"],
    ),
    datagrams("receive", "a flood of 64 B, received", &["receive"]),
    datagrams("receive-large", "a flood of 1400 B, received", &["receive", "--size=1400"]),
    datagrams("send-1", "a flood of 64 B, sent one after the other", &["send"]),
    datagrams("send-32", "a flood of 64 B, sent from 32 tasks", &["send", "--depth=32"]),
    datagrams(
        "send-32-large",
        "a flood of 1400 B, sent from 32 tasks",
        &["send", "--depth=32", "--size=1400"],
    ),
];

pub(crate) const LINES: &[Row] = &[
    row("16", "lines of 16 B read over TCP", &["read-line", "--length=16"], QUICK),
    row("80", "lines of 80 B read over TCP", &["read-line", "--length=80"], QUICK),
    row("1024", "lines of 1 KiB read over TCP", &["read-line", "--length=1024"], QUICK),
    row(
        "16-unix",
        "lines of 16 B read from a Unix socket",
        &["read-line", "--length=16", "--unix"],
        QUICK,
    ),
    row(
        "80-unix",
        "lines of 80 B read from a Unix socket",
        &["read-line", "--length=80", "--unix"],
        QUICK,
    ),
    row(
        "1024-unix",
        "lines of 1 KiB read from a Unix socket",
        &["read-line", "--length=1024", "--unix"],
        QUICK,
    ),
    row("80-stream", "a stream of lines of 80 B over TCP", &["lines", "--length=80"], QUICK),
];

pub(crate) const TLS: &[Row] = &[
    row(
        "handshake",
        "a connection with a whole handshake, a byte, and its end",
        &["handshake"],
        US,
    ),
    row("resumed", "a connection that resumes a session, a byte, and its end", &["resumed"], US),
    row("round-trip", "100 bytes there and back", &["round-trip"], US),
    row("stream", "a long stream in pieces of 64 KiB, per KiB", &["stream"], NS),
];

pub(crate) const CHILDREN: &[Row] = &[
    row("one", "/bin/true run to its end, one after the other", &["one"], WORK),
    row("many", "/bin/true run to its end, 32 at a time", &["many"], WORK),
    row("output", "/bin/echo run to its end for what it says", &["output"], WORK),
];

pub(crate) const MESSAGES: &[Row] = &[
    row("round-trip", "round trip between two cores", &["round-trip"], US),
    row("one-way", "one way between two cores, per message", &["one-way"], NS),
    row("batched", "one way between two cores, 128 at a time, per message", &["batched"], NS),
    row("call", "a closure run on another core's loop, and its result", &["call"], US),
];

/// What took so long that it is told in milliseconds.
const MS: Shown = &[("ns", "ms", 1e6, 3)];

pub(crate) const POOLS: &[Row] = &[
    row("round-trip", "pool of 2, round trip of a task, one after the other", &["round-trip"], US),
    row(
        "round-trip-parked",
        "pool of 2, round trip of a task, each after half a millisecond of sleep",
        &["round-trip", "--pause=500"],
        US,
    ),
    row(
        "submit",
        "pool of 2, many tasks",
        &["submit"],
        &[("submit_ns", "submit ns", 1.0, 0), ("ns", "until done ns", 1.0, 0)],
    ),
    row("map", "pool of 2, map in chunks of 1000, per item", &["map"], &[("ns", "ns", 1.0, 2)]),
    row("start", "pool of 1, made, to its first result", &["start"], MS),
    row(
        "kill",
        "a worker process killed under its job",
        &["kill"],
        &[("noticed_ns", "job ended ms", 1e6, 3), ("ns", "next job done ms", 1e6, 3)],
    ),
    row("payload", "1 GiB for a worker process that looks at each page", &["payload"], MS),
    Row {
        also: &[("cpu_ns_per_s", "CPU us per s", 1000.0, 1)],
        ..row("idle", "pool of 2 that has nothing to do", &["idle", "--milliseconds=2000"], &[])
    },
];
