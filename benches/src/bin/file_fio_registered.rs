//! fio with its io_uring engine, a registered file and registered buffers.

fn main() -> anyhow::Result<()> {
    benches::files::fio::main(&["--fixedbufs", "--registerfiles"])
}
