//! Connections, datagram sockets and children that call back. Of each the calls come in order, and
//! the loss once and last, whatever goes wrong; datagrams are not mixed up, bytes not mangled.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use uring_loop::buf::RecvBuf;
use uring_loop::io::Address;
use uring_loop::net::Datagram;
use uring_loop::process::Command;
use uring_loop::protocol::{
    DatagramProtocol, DatagramTransport, Protocol, StdPipe, SubprocessProtocol,
    SubprocessTransport, Transport, create_connection, create_datagram_endpoint, create_server,
    subprocess_exec,
};
use uring_loop::time::sleep;
use uring_loop::{current_task, race};

use super::place::{Kept, Place, keep};

pub(super) async fn run(place: Place) {
    let mut tasks: Vec<Kept<()>> = vec![keep(connections(place.clone()))];
    tasks.extend((0..place.chance.below(4)).map(|_| keep(datagrams(place.clone()))));
    tasks.extend((0..place.chance.below(3)).map(|_| keep(child(place.clone()))));
    place.disturb(tasks).await;
}

/// Closes what goes on by itself when its scenario is given up.
struct AtEnd<F: Fn()>(F);

impl<F: Fn()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Whether a scenario was asked to end. Where it awaits the task of a protocol, that was asked too,
/// and closes what it has.
fn asked_to_end() -> bool {
    current_task().is_some_and(|task| task.cancelling() > 0)
}

/// Which calls have come.
#[derive(Clone, Debug, Default)]
struct Calls(Rc<Cell<Stage>>);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Stage {
    #[default]
    NotMade,
    Made,
    Lost,
}

impl Calls {
    fn made(&self) {
        assert_eq!(self.0.replace(Stage::Made), Stage::NotMade);
    }

    fn called(&self) {
        assert_eq!(self.0.get(), Stage::Made);
    }

    fn lost(&self) {
        assert_eq!(self.0.replace(Stage::Lost), Stage::Made);
    }
}

/// Sends back what comes; may hand its connection over to another one in between.
struct Echo {
    place: Place,
    calls: Calls,
    transport: Option<Transport>,
}

impl Echo {
    fn new(place: &Place) -> Self {
        Echo { place: place.clone(), calls: Calls::default(), transport: None }
    }
}

impl Protocol for Echo {
    fn connection_made(&mut self, transport: Transport) {
        self.calls.made();
        self.transport = Some(transport);
    }

    fn data_received(&mut self, data: RecvBuf) {
        self.calls.called();
        let transport = self.transport.as_ref().expect("made comes first");
        transport.write(&data);
        if self.place.chance.one_in(8) {
            let (calls, transport) = (Calls::default(), transport.clone());
            calls.made();
            let place = self.place.clone();
            let next = Echo { place, calls, transport: Some(transport.clone()) };
            // This one is not called any more, not even with the loss.
            transport.set_protocol(next);
            self.calls.lost();
        }
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.calls.lost();
        if let Some(error) = error {
            self.place.pass_over(&error);
        }
    }
}

/// Keeps what comes.
#[derive(Default)]
struct Keep {
    calls: Calls,
    bytes: Vec<u8>,
    error: Option<io::Error>,
}

impl Protocol for Keep {
    fn connection_made(&mut self, _: Transport) {
        self.calls.made();
    }

    fn data_received(&mut self, data: RecvBuf) {
        self.calls.called();
        self.bytes.extend_from_slice(&data);
    }

    fn eof_received(&mut self) -> bool {
        self.calls.called();
        false
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.calls.lost();
        self.error = error;
    }

    fn pause_writing(&mut self) {
        self.calls.called();
    }

    fn resume_writing(&mut self) {
        self.calls.called();
    }
}

async fn connections(place: Place) {
    let factory = {
        let place = place.clone();
        move || Echo::new(&place)
    };
    let server = create_server(factory, "127.0.0.1:0").await.expect("a free port");
    let _closes = AtEnd(|| server.abort_clients());
    let address = server.addresses()[0].ip().expect("TCP");
    for _ in 0..place.chance.between(1, 6) {
        client(&place, address).await;
    }
    server.close();
    server.close_clients();
    server.wait_closed().await;
}

async fn client(place: &Place, address: SocketAddr) {
    let before = place.troubles();
    let made = create_connection(Keep::default, address).await;
    if place.ends && made.is_err() {
        return; // The server's tasks are ended, too.
    }
    let Some((transport, task)) = place.ok(made) else { return };
    let _closes = AtEnd(|| transport.abort());
    let sent = place.chance.bytes(place.chance.below(30_000));
    for piece in sent.chunks(place.chance.between(1, 9000)) {
        transport.write(piece);
        if place.chance.one_in(3) {
            sleep(place.chance.moment()).await;
        }
    }
    let whole = !place.chance.one_in(4);
    match place.chance.below(3) {
        _ if whole => transport.write_eof(),
        0 => transport.abort(),
        1 => transport.close(),
        _ => task.abort(),
    }
    let Ok(kept) = task.await else { return };
    assert_eq!(kept.calls.0.get(), Stage::Lost);
    assert!(sent.starts_with(&kept.bytes), "mangled: {} bytes", kept.bytes.len());
    if let Some(error) = kept.error {
        place.pass_over(&error);
    }
    let all = kept.bytes.len() == sent.len();
    let excused = !whole || asked_to_end() || place.may_be_half_done(before);
    assert!(all || excused, "{} of {} bytes", kept.bytes.len(), sent.len());
}

/// Notes which datagrams come.
struct Hears {
    place: Place,
    calls: Calls,
    heard: Rc<RefCell<Vec<u8>>>,
}

impl DatagramProtocol for Hears {
    fn connection_made(&mut self, _: DatagramTransport) {
        self.calls.made();
    }

    fn datagram_received(&mut self, datagram: Datagram<Address>) {
        self.calls.called();
        let (number, rest) = datagram.split_first().expect("none is empty");
        assert!(rest.iter().all(|byte| byte == number), "mixed up");
        self.heard.borrow_mut().push(*number);
    }

    fn error_received(&mut self, error: io::Error) {
        self.calls.called();
        self.place.pass_over(&error);
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.calls.lost();
        if let Some(error) = error {
            self.place.pass_over(&error);
        }
    }
}

async fn datagrams(place: Place) {
    let heard = Rc::<RefCell<Vec<u8>>>::default();
    let before = place.troubles();
    let endpoint = || Hears { place: place.clone(), calls: Calls::default(), heard: heard.clone() };
    let (server, hearing) =
        create_datagram_endpoint(endpoint, "127.0.0.1:0").await.expect("a free port");
    let _closes = AtEnd(|| server.close());
    let address = server.local_address().and_then(Address::ip).expect("bound");
    let (client, sending) =
        create_datagram_endpoint(endpoint, "127.0.0.1:0").await.expect("a free port");
    let _client_closes = AtEnd(|| client.close());
    let count = place.chance.between(1, 40) as u8;
    for number in 0..count {
        client.send_to(vec![number; 1 + place.chance.below(50)], address);
    }
    // In order: all of them are sent before it is closed.
    client.close();
    let Ok(sending) = sending.await else { return };
    assert_eq!(sending.calls.0.get(), Stage::Lost);
    let all = async {
        while heard.borrow().len() < count as usize && !place.may_be_half_done(before) {
            sleep(place.chance.moment()).await;
        }
    };
    let late = async {
        sleep(std::time::Duration::from_secs(60)).await;
        panic!("datagrams are lost: {heard:?} of {count}");
    };
    race((all, late)).await;
    let row = heard.borrow().clone();
    assert!(row.is_sorted_by(|one, other| one < other), "doubled, or out of order: {row:?}");
    if place.chance.one_in(2) {
        server.abort();
    } else {
        server.close();
    }
    let Ok(hearing) = hearing.await else { return };
    assert_eq!(hearing.calls.0.get(), Stage::Lost);
}

/// Gives a child its input, and keeps what it says.
struct Talks {
    calls: Calls,
    input: Vec<u8>,
    output: Vec<u8>,
    exited: bool,
    lost: Vec<StdPipe>,
}

impl SubprocessProtocol for Talks {
    fn connection_made(&mut self, transport: SubprocessTransport) {
        self.calls.made();
        let stdin = transport.pipe(StdPipe::Stdin).expect("piped");
        stdin.write(&self.input);
        stdin.write_eof();
    }

    fn pipe_data_received(&mut self, pipe: StdPipe, data: RecvBuf) {
        self.calls.called();
        assert!(pipe == StdPipe::Stdout && !self.lost.contains(&pipe));
        self.output.extend_from_slice(&data);
    }

    fn pipe_connection_lost(&mut self, pipe: StdPipe, _: Option<io::Error>) {
        self.calls.called();
        assert!(!self.lost.contains(&pipe), "twice");
        self.lost.push(pipe);
    }

    fn process_exited(&mut self) {
        self.calls.called();
        assert!(!std::mem::replace(&mut self.exited, true), "twice");
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.calls.lost();
        assert!(self.exited && self.lost.len() == 3, "before its end: {:?}", self.lost);
        assert!(error.is_none(), "{error:?}");
    }
}

async fn child(place: Place) {
    let input = place.chance.bytes(place.chance.below(100_000));
    let talks = Talks {
        calls: Calls::default(),
        input: input.clone(),
        output: Vec::new(),
        exited: false,
        lost: Vec::new(),
    };
    let started = subprocess_exec(|| talks, &mut Command::new("cat")).await;
    let (transport, task) = started.expect("there is a cat");
    let closes = place.chance.one_in(4);
    if closes {
        sleep(place.chance.moment()).await;
        transport.close();
    }
    let Ok(talks) = task.await else { return };
    assert_eq!(talks.calls.0.get(), Stage::Lost);
    assert!(transport.status().is_some());
    assert!(input.starts_with(&talks.output), "mangled");
    assert!(closes || asked_to_end() || talks.output == input, "not whole");
}
