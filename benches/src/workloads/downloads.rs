//! A download: one GET over a connection of its own, and the client that makes it, for a thread
//! that blocks and for a coroutine. The server is [`web`](super::web).

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use uring_loop::net::TcpStream;

/// Bytes of an answer's body.
pub const BODY: usize = 16 * 1024;

/// How long the server takes before it answers: a server on the same continent.
pub const DELAY: Duration = Duration::from_millis(20);

/// Headers the server sends, at most.
const HEADERS: usize = 8;

/// Word `place` of the body of number `number`.
fn word(number: u64, place: u64) -> u64 {
    // splitmix64
    let seed = (number << 16 | place).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Appends the body of a number.
pub fn body(number: u64, to: &mut Vec<u8>) {
    (0..BODY as u64 / 8).for_each(|place| to.extend_from_slice(&word(number, place).to_le_bytes()));
}

/// What is left of a body once each of its bytes was looked at, at its place.
#[must_use]
pub fn digest(body: &[u8]) -> u64 {
    body.chunks(8).fold(body.len() as u64, |sum, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (sum.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

/// The digest that the body of a number has.
#[must_use]
pub fn expected(number: u64) -> u64 {
    let mut all = Vec::with_capacity(BODY);
    body(number, &mut all);
    digest(&all)
}

/// What is sent to ask for a number.
#[must_use]
pub fn request(server: SocketAddr, number: u64) -> String {
    format!("GET /{number} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")
}

/// The number in a request; `None` while the request isn't whole.
///
/// # Errors
///
/// When it isn't one that [`blocking`] or [`coroutine`] makes.
pub fn asked(request: &[u8]) -> anyhow::Result<Option<u64>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    if parsed.parse(request)?.is_partial() {
        return Ok(None);
    }
    ensure!(parsed.method == Some("GET"), "a request with method {:?}", parsed.method);
    let path = parsed.path.and_then(|path| path.strip_prefix('/')).context("a path without /")?;
    path.parse().map(Some).with_context(|| format!("a request for {path:?}"))
}

/// Reads an answer, whole; the digest of its body.
///
/// # Errors
///
/// When it isn't whole, or no answer to a request.
pub fn check(answer: &[u8]) -> anyhow::Result<u64> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = parsed.parse(answer)? else {
        anyhow::bail!("an answer that ends after {} bytes, within its head", answer.len());
    };
    ensure!(parsed.code == Some(200), "an answer with status {:?}", parsed.code);
    let length = parsed
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
    let body = &answer[head..];
    ensure!(length == Some(body.len()), "{} bytes came, {length:?} were promised", body.len());
    Ok(digest(body))
}

/// Room for an answer.
pub const ANSWER: usize = BODY + 512;

/// Downloads a number on this thread, which is blocked meanwhile; the digest of what came.
///
/// # Errors
///
/// Those of connect(2), read(2) and write(2); an answer that isn't whole.
pub fn blocking(server: SocketAddr, number: u64) -> anyhow::Result<u64> {
    let mut stream = std::net::TcpStream::connect(server).context("connecting")?;
    stream.write_all(request(server, number).as_bytes()).context("asking")?;
    let mut answer = Vec::with_capacity(ANSWER);
    stream.read_to_end(&mut answer).context("receiving")?;
    check(&answer)
}

/// Downloads a number on this thread's loop; the digest of what came.
///
/// # Errors
///
/// As [`blocking`].
///
/// # Cancel safety
///
/// Weak: dropped, the connection is closed and what had come is lost.
pub async fn coroutine(server: SocketAddr, number: u64) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(server).await.context("connecting")?;
    stream.write_all(request(server, number).into_bytes()).await.0.context("asking")?;
    let mut answer = Vec::with_capacity(ANSWER);
    loop {
        let bytes = stream.recv().await.context("receiving")?;
        if bytes.is_empty() {
            return check(&answer);
        }
        answer.extend_from_slice(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(number: u64) -> Vec<u8> {
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-LENGTH: {BODY}\r\n\r\n").into_bytes();
        body(number, &mut answer);
        answer
    }

    #[test]
    fn an_answer_is_known_by_every_byte_and_by_its_number() {
        let good = answer(7);
        assert_eq!(check(&good).unwrap(), expected(7));
        assert_ne!(expected(7), expected(8));
        for at in [good.len() - BODY, good.len() - 1, good.len() - BODY / 2] {
            let mut spoilt = good.clone();
            spoilt[at] ^= 1;
            assert_ne!(check(&spoilt).unwrap(), expected(7), "byte {at}");
        }
        let mut swapped = good.clone();
        swapped[good.len() - BODY..].rotate_left(8);
        assert_ne!(check(&swapped).unwrap(), expected(7));
    }

    #[test]
    fn an_answer_that_is_not_whole_is_refused() {
        let good = answer(7);
        assert!(check(&good[..good.len() - 1]).unwrap_err().to_string().contains("promised"));
        assert!(check(&good[..20]).unwrap_err().to_string().contains("within its head"));
        let wrong = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        assert!(check(wrong).unwrap_err().to_string().contains("404"));
    }

    #[test]
    fn a_request_says_its_number() {
        let text = request(([127, 0, 0, 1], 80).into(), 12);
        assert_eq!(asked(text.as_bytes()).unwrap(), Some(12));
        assert_eq!(asked(&text.as_bytes()[..text.len() - 1]).unwrap(), None);
        assert!(asked(b"POST /1 HTTP/1.1\r\n\r\n").is_err());
        assert!(asked(b"GET /x HTTP/1.1\r\n\r\n").is_err());
    }
}
