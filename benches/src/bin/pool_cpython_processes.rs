//! Peer: CPython's `concurrent.futures`, its pool of processes, with its usual settings.

fn main() -> anyhow::Result<()> {
    benches::pools::cpython::main("processes")
}
