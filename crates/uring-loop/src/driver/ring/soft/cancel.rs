//! ASYNC_CANCEL (`io_uring/cancel.c`).
//!
//! What waits for readiness or time can be cancelled: the cancel answers 0, and the request ends
//! with ECANCELED. What a helper has begun with cannot: EALREADY, and it ends by itself. With ALL
//! or ANY the answer is how many were met.

use super::super::check::{CANCEL_OP, CANCEL_USERDATA};
use super::super::{Sqe, cancel_flags, opcode, sqe_flags};
use super::requests::{Place, Request};
use super::{Errno, Soft};
use crate::sys::calls;

/// Which requests a cancel means.
struct Aim {
    any: bool,
    user_data: Option<u64>,
    opcode: Option<u8>,
    fd: Option<i32>,
}

impl Aim {
    fn hits(&self, request: &Request) -> bool {
        self.any
            || self.fd.is_none_or(|fd| fd == request.fd)
                && self.opcode.is_none_or(|opcode| opcode == request.sqe.opcode)
                && self.user_data.is_none_or(|user_data| user_data == request.sqe.user_data)
    }
}

impl Soft {
    pub(super) fn cancel(&mut self, sqe: &Sqe) -> Result<i32, Errno> {
        let aim = self.aim(sqe)?;
        let all = sqe.op_flags & (cancel_flags::ALL | cancel_flags::ANY) != 0;
        let mut targets = match aim.user_data {
            Some(user_data) if !aim.any => self.requests.find(user_data),
            _ => self.requests.iter().map(|(index, _)| index).collect(),
        };
        targets.retain(|index| self.requests.get(*index).is_some_and(|it| aim.hits(it)));
        if !all {
            let Some(target) = targets.first() else { return Err(libc::ENOENT) };
            return Ok(self.cancel_request(*target));
        }
        let names: Vec<_> = targets.into_iter().map(|index| self.requests.name(index)).collect();
        let mut met = 0;
        for name in names {
            // The end of one can be the end of others.
            if self.requests.named(name).is_some() {
                self.cancel_request(name.index);
                met += 1;
            }
        }
        Ok(met)
    }

    fn aim(&self, sqe: &Sqe) -> Result<Aim, Errno> {
        let flag = |flag: u32| sqe.op_flags & flag != 0;
        let by_user_data = flag(CANCEL_USERDATA) || !(flag(cancel_flags::FD) || flag(CANCEL_OP));
        let fd = match flag(cancel_flags::FD) {
            true if sqe.flags & sqe_flags::FIXED_FILE != 0 => Some(self.kit.tables.file(sqe.fd)?),
            true if sqe.fd < 0 || self.descriptors.is_closing(sqe.fd) => return Err(libc::EBADF),
            true if calls::poll(sqe.fd, 0) < 0 => return Err(libc::EBADF),
            true => Some(sqe.fd),
            false => None,
        };
        Ok(Aim {
            any: flag(cancel_flags::ANY),
            user_data: by_user_data.then_some(sqe.addr),
            opcode: flag(CANCEL_OP).then_some(sqe.len as u8),
            fd,
        })
    }

    /// Cancels one request: 0, or minus EALREADY if it will end by itself.
    ///
    /// One that waited stays known until its end, in the next pass, and is found again by other
    /// cancels; a timeout is taken off at once (`io_timeout_cancel`).
    pub(super) fn cancel_request(&mut self, index: u32) -> i32 {
        let name = self.requests.name(index);
        let Some(request) = self.requests.get_mut(index) else { return -libc::ENOENT };
        match request.place {
            _ if request.cancelled => return 0,
            Place::Helper if !self.helpers.withdraw(name) => return -libc::EALREADY,
            _ => {}
        }
        request.cancelled = true;
        if request.sqe.opcode == opcode::TIMEOUT {
            let request = self.requests.take(index);
            self.go_on(request, Some(index));
        } else {
            self.make_due(index, 0);
        }
        0
    }
}
