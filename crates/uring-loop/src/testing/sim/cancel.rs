//! ASYNC_CANCEL and what it may come to (`io_uring/cancel.c`).
//!
//! What waits for readiness or time can be cancelled: the cancel answers 0 and the request ends
//! with ECANCELED in a later pass. What a disk or worker has in hand can't: EALREADY or ENOENT,
//! and it ends by itself. With ALL or ANY the answer is how many were met.

use super::Errno;
use super::descriptors::{FIRST_VIRTUAL, Object};
use super::prepare::{CANCEL_OP, CANCEL_USERDATA};
use super::request::Request;
use super::world::World;
use crate::driver::ring::{Sqe, cancel_flags, opcode};

/// Which requests a cancel means.
struct Aim {
    any: bool,
    user_data: Option<u64>,
    opcode: Option<u8>,
    target: Target,
}

/// By descriptor means by what it stands for: two descriptors of one socket are the same.
enum Target {
    All,
    Object(Object),
    Real(i32),
}

impl Aim {
    fn hits(&self, request: &Request) -> bool {
        if self.any {
            return true;
        }
        let target = match self.target {
            Target::All => true,
            Target::Object(object) => request.object == Some(object),
            Target::Real(fd) => request.real() == Some(fd),
        };
        target
            && self.opcode.is_none_or(|opcode| opcode == request.sqe.opcode)
            && self.user_data.is_none_or(|user_data| user_data == request.sqe.user_data)
    }
}

impl World {
    pub(super) fn cancel(&mut self, sqe: &Sqe) -> Result<i32, Errno> {
        let aim = self.aim(sqe)?;
        let all = sqe.op_flags & (cancel_flags::ALL | cancel_flags::ANY) != 0;
        // A request whose cancel is under way stays in the kernel's table until its end, and is
        // found again; a timeout is taken off its list at once.
        let hit = |request: &&Request| {
            let taken = request.verdict.is_some() && request.sqe.opcode == opcode::TIMEOUT;
            !taken && !request.forced
        };
        let targets: Vec<u64> = self
            .requests
            .values()
            .filter(hit)
            .filter(|request| aim.hits(request))
            .map(|request| request.id)
            .collect();
        if !all {
            let Some(target) = targets.first() else { return Err(libc::ENOENT) };
            return Ok(self.cancel_request(*target));
        }
        let met = targets.into_iter().filter(|id| self.cancel_request(*id) != -libc::ENOENT);
        Ok(met.count() as i32)
    }

    fn aim(&self, sqe: &Sqe) -> Result<Aim, Errno> {
        let flag = |flag: u32| sqe.op_flags & flag != 0;
        let by_user_data = flag(CANCEL_USERDATA) || !(flag(cancel_flags::FD) || flag(CANCEL_OP));
        let target = match sqe.fd {
            _ if !flag(cancel_flags::FD) => Target::All,
            fd if (0..FIRST_VIRTUAL).contains(&fd) => Target::Real(fd),
            fd => Target::Object(self.descriptors.resolve(fd)?),
        };
        Ok(Aim {
            any: flag(cancel_flags::ANY),
            user_data: by_user_data.then_some(sqe.addr),
            opcode: flag(CANCEL_OP).then_some(sqe.len as u8),
            target,
        })
    }

    /// Cancels one request: 0, or minus EALREADY or ENOENT if it will end by itself.
    pub(super) fn cancel_request(&mut self, id: u64) -> i32 {
        let lost = self.random.chance(self.config.faults.lose_cancel);
        let passes = self.passes;
        let Some(request) = self.requests.get_mut(&id) else { return -libc::ENOENT };
        if request.verdict.is_some() {
            return 0;
        }
        if request.is_disk() {
            return self.too_late();
        }
        if lost || request.ambush.lose_cancel {
            request.forced = true;
            request.gate.time = 0;
            request.gate.pass = passes + 1 + self.random.below(3);
            return self.too_late();
        }
        request.verdict = Some(-libc::ECANCELED);
        0
    }

    /// Both happen: ENOENT when the completion is under way, EALREADY when a worker has it.
    fn too_late(&mut self) -> i32 {
        if self.random.chance(0.5) { -libc::ENOENT } else { -libc::EALREADY }
    }
}
