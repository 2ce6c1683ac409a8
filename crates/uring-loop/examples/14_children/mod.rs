//! Chapter 14: children.
//!
//! Other programs are started, talked to by pipes and waited for, while the loop goes on.

mod commands;
mod get_date;

use crate::course::{Chapter, Demo};

pub(crate) const CHAPTER: Chapter = Chapter {
    title: "14. Children",
    demos: &[
        Demo::new("get_date", get_date::main, "a line that another program writes"),
        Demo::new("commands", commands::main, "programs that do the work of commands"),
    ],
};
