//! A long line: what is said arrives later, and now and then it is cut, with all that is on it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Takes connections to a server, each as long as chance has it.
pub(crate) struct Line {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    /// How often it may still be cut, and how often it was.
    left: AtomicUsize,
    cuts: AtomicUsize,
    seed: u64,
    chance: Mutex<u64>,
}

/// One way takes so long, half of that more or less.
const DELAY: Duration = Duration::from_millis(20);
/// After so many bytes a connection is cut, or up to twice as many.
const BYTES: u64 = 20_000;

impl Line {
    /// A line to the server at this address, which is cut so often. The same seed brings the same
    /// delays and cuts, as far as threads allow: it is in the variable `LINE_SEED`, or new.
    pub(crate) fn to(url: &str, cuts: usize) -> Line {
        let given = std::env::var("LINE_SEED").ok().and_then(|seed| seed.parse().ok());
        let new = || Instant::now().elapsed().as_nanos() as u64 ^ u64::from(std::process::id());
        let seed = given.unwrap_or_else(new);
        let shared = Arc::new(Shared {
            server: url.strip_prefix("nats://").unwrap().to_owned(),
            left: AtomicUsize::new(cuts),
            cuts: AtomicUsize::new(0),
            seed,
            chance: Mutex::new(seed),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = Arc::clone(&shared);
        // It ends with the program: nobody connects to it any more when its test is over.
        thread::spawn(move || {
            for here in listener.incoming() {
                let Ok(here) = here else { continue };
                // The server is told in the way it would be: the connection ends.
                let Ok(there) = TcpStream::connect(&own.server) else { continue };
                own.carry(&here, &there);
            }
        });
        Line { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the line's seed was LINE_SEED={}", self.shared.seed);
        }
    }
}

impl Shared {
    /// A number below `limit` (splitmix64).
    fn draw(&self, limit: u64) -> u64 {
        let mut chance = self.chance.lock().unwrap();
        *chance = chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = *chance;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (n ^ (n >> 31)) % limit
    }

    /// Carries both ways, until an end closes or the connection is cut.
    fn carry(self: &Arc<Self>, here: &TcpStream, there: &TcpStream) {
        for (from, to) in [(here, there), (there, here)] {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let (carry, arrive) = mpsc::channel();
            let own = Arc::clone(self);
            let reader = from.try_clone().unwrap();
            thread::spawn(move || own.take_in(reader, &carry));
            let own = Arc::clone(self);
            thread::spawn(move || own.hand_out(&from, to, &arrive));
        }
    }

    fn take_in(&self, mut from: TcpStream, carry: &mpsc::Sender<(Instant, Vec<u8>)>) {
        let mut bytes = [0; 4096];
        let half = DELAY.as_micros() as u64 / 2;
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let delay = Duration::from_micros(half + self.draw(2 * half));
            if carry.send((Instant::now() + delay, bytes[..count].to_vec())).is_err() {
                break;
            }
        }
    }

    fn hand_out(
        &self,
        from: &TcpStream,
        mut to: TcpStream,
        arrive: &mpsc::Receiver<(Instant, Vec<u8>)>,
    ) {
        let mut left = BYTES + self.draw(BYTES);
        while let Ok((due, bytes)) = arrive.recv() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let fits = bytes.len().min(left as usize);
            left -= fits as u64;
            // In the middle of whatever is being said.
            let cut = left == 0 && self.cut();
            let bytes = if cut { &bytes[..fits] } else { &bytes[..] };
            if to.write_all(bytes).is_err() || cut {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }

    /// Whether it is cut once more.
    fn cut(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        let cut = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        self.cuts.fetch_add(usize::from(cut), Ordering::Relaxed);
        cut
    }
}
