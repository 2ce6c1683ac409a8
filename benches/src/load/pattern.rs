//! The bytes an echo client sends: every position of every connection's stream can be foretold, so
//! that each byte that comes back can be checked without remembering it.

/// Length after which the stream repeats: a prime, so that no message size divides it.
const PERIOD: usize = 65521;

/// An endless stream of bytes, and a position in it per connection.
#[derive(Debug)]
pub(super) struct Pattern {
    bytes: Box<[u8]>,
}

impl Pattern {
    /// A pattern out of which `longest` bytes can be taken at any position in one piece.
    pub(super) fn new(longest: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes: Vec<u8> = (0..PERIOD)
            .map(|_| {
                // xorshift64: any bytes will do, as long as neighbours differ
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        (0..longest).for_each(|i| bytes.push(bytes[i]));
        Self { bytes: bytes.into() }
    }

    /// Where connection `number` begins: apart from its neighbours, so that mixed-up answers show.
    pub(super) fn start(number: usize) -> usize {
        number.wrapping_mul(7919) % PERIOD
    }

    /// The position `length` bytes after `position`.
    #[inline]
    pub(super) fn advance(position: usize, length: usize) -> usize {
        (position + length) % PERIOD
    }

    /// `length` bytes from `position` on.
    #[inline]
    pub(super) fn at(&self, position: usize, length: usize) -> &[u8] {
        &self.bytes[position..position + length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_goes_on_where_the_period_ends() {
        let pattern = Pattern::new(100);
        let across = pattern.at(PERIOD - 10, 60);
        assert_eq!(&across[..10], pattern.at(PERIOD - 10, 10));
        assert_eq!(&across[10..], pattern.at(Pattern::advance(PERIOD - 10, 10), 50));
    }

    #[test]
    fn connections_do_not_share_their_first_message() {
        let pattern = Pattern::new(64);
        let mut first: Vec<_> =
            (0..4000).map(|number| pattern.at(Pattern::start(number), 64)).collect();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 4000);
    }
}
