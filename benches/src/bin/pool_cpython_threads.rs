//! Peer: CPython's `concurrent.futures`, its pool of threads, with its usual settings.

fn main() -> anyhow::Result<()> {
    benches::pools::cpython::main("threads")
}
