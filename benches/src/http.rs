//! Requests of HTTP/1.1 and their answer, as far as a comparison of runtimes needs them: heads are
//! parsed (httparse), one answer is given to all.
//!
//! Not a server: no bodies, no routes, no limits.

use std::fmt;

/// What is asked, as curl would.
pub const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";

/// What is answered, to the byte.
pub const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\r\nHello, World!";

/// Bytes that came and are no whole request yet.
#[derive(Debug, Default)]
pub struct Unfinished(Vec<u8>);

impl Unfinished {
    /// Takes bytes as they came, and says how many requests are whole with them.
    ///
    /// # Errors
    ///
    /// When they are no request.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        if self.0.is_empty() {
            let (requests, length) = whole(bytes)?;
            self.0.extend_from_slice(&bytes[length..]);
            return Ok(requests);
        }
        self.0.extend_from_slice(bytes);
        let (requests, length) = whole(&self.0)?;
        self.0.drain(..length);
        Ok(requests)
    }
}

/// The requests that `bytes` begin with: how many, and of how many bytes.
fn whole(bytes: &[u8]) -> Result<(usize, usize), Malformed> {
    let (mut requests, mut length) = (0, 0);
    while length < bytes.len() {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes[length..]).map_err(Malformed)? {
            httparse::Status::Complete(head) => length += head,
            httparse::Status::Partial => break,
        }
        requests += 1;
    }
    Ok((requests, length))
}

/// Appends the answers to so many requests.
pub fn answer(requests: usize, out: &mut Vec<u8>) {
    (0..requests).for_each(|_| out.extend_from_slice(ANSWER));
}

/// What came is no request.
#[derive(Debug)]
pub struct Malformed(httparse::Error);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no request of HTTP/1.1: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_count_when_they_are_whole_however_they_are_cut() {
        let three = REQUEST.repeat(3);
        for cut in 0..three.len() {
            let mut unfinished = Unfinished::default();
            let counts = [&three[..cut], &three[cut..]].map(|b| unfinished.take(b).unwrap());
            assert_eq!(counts, [cut / REQUEST.len(), 3 - cut / REQUEST.len()], "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_request_is_an_error() {
        assert!(Unfinished::default().take(b"\0\r\n\r\n").is_err());
    }

    #[test]
    fn the_answer_says_its_own_length() {
        let mut headers = [httparse::EMPTY_HEADER; 4];
        let mut parsed = httparse::Response::new(&mut headers);
        let head = parsed.parse(ANSWER).unwrap().unwrap();
        let length = parsed.headers.iter().find(|header| header.name == "content-length").unwrap();
        assert_eq!(length.value, (ANSWER.len() - head).to_string().as_bytes());
    }
}
