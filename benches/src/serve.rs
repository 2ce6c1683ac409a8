//! The server's side of the bargain: options, listener, announcement and a certain end.
//!
//! An echo server of any runtime is then this small:
//!
//! ```no_run
//! use clap::Parser;
//! fn main() -> anyhow::Result<()> {
//!     let listener = benches::serve::start(&benches::serve::Options::parse().common)?;
//!     // hand `listener` to the runtime: accept, then read and write back until end of stream
//! #   drop(listener);
//!     Ok(())
//! }
//! ```

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};

use crate::pin;

/// What every server takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Core to run on
    #[arg(long)]
    pub core: Option<usize>,
    /// Port on 127.0.0.1; 0 lets the kernel choose
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Bytes of one read buffer
    #[arg(long, default_value_t = 16384)]
    pub buffer: usize,
    /// Poll instead of sleeping, where the server knows how
    #[arg(long)]
    pub spin: bool,
    /// Seconds after which the server ends by itself
    #[arg(long, default_value_t = 900)]
    pub life: u32,
}

/// [`Common`] as a whole command line.
#[derive(Debug, Clone, clap::Parser)]
#[command(about = "Echoes what it is sent, until stdin closes")]
pub struct Options {
    /// All there is.
    #[command(flatten)]
    pub common: Common,
}

/// Pins, limits the life, listens and announces `listening 127.0.0.1:PORT` on stdout.
///
/// The listener blocks, has room for 4096 waiting connections, and carries TCP_NODELAY: Linux
/// clones the option into every connection it accepts.
///
/// # Errors
///
/// When a step is refused; the error names the step.
pub fn start(options: &Common) -> anyhow::Result<TcpListener> {
    if let Some(core) = options.core {
        pin::to_core(core)?;
    }
    pin::raise_file_limit().context("raising the limit of open files")?;
    end_after(options.life);
    end_with_stdin().context("watching stdin")?;
    let listener = listen(options.port).context("listening on 127.0.0.1")?;
    println!("listening {}", listener.local_addr()?);
    io::stdout().flush()?;
    Ok(listener)
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// Ends the process by SIGALRM after so many seconds, whatever it is doing then.
pub fn end_after(seconds: u32) {
    // SAFETY: alarm(2) takes a number and touches no memory.
    unsafe { libc::alarm(seconds) };
}

/// Ends the process by SIGIO when the other end of a stdin that is a pipe closes.
///
/// Not a watching thread: a second thread makes every descriptor look-up of the server take an
/// atomic reference (fdget), which would be measured too. See fcntl(2), `O_ASYNC`.
fn end_with_stdin() -> io::Result<()> {
    let mut about = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: plain calls on descriptor 0; fstat writes a whole `stat` when it returns 0.
    unsafe {
        if libc::fstat(0, about.as_mut_ptr()) != 0 {
            return Ok(()); // no stdin at all: the life limit still ends us
        }
        if about.assume_init_ref().st_mode & libc::S_IFMT != libc::S_IFIFO {
            return Ok(());
        }
        check(libc::fcntl(0, libc::F_SETOWN, libc::getpid()))?;
        let flags = check(libc::fcntl(0, libc::F_GETFL))?;
        check(libc::fcntl(0, libc::F_SETFL, flags | libc::O_ASYNC))?;
        // The other end may have closed before the signal was armed.
        let mut now = libc::pollfd { fd: 0, events: 0, revents: 0 };
        if libc::poll(&raw mut now, 1, 0) == 1 && now.revents & libc::POLLHUP != 0 {
            return Err(io::Error::other("stdin is closed already"));
        }
    }
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
