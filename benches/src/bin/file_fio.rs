//! fio with its io_uring engine, told nothing else.

fn main() -> anyhow::Result<()> {
    benches::files::fio::main(&[])
}
