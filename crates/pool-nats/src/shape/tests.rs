//! Shapes of types that differ, and of types that do not.
#![allow(dead_code)]

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use super::*;

mod before {
    use super::Deserialize;
    #[derive(Deserialize)]
    pub(super) struct Page {
        title: String,
        words: u32,
    }
    #[derive(Deserialize)]
    pub(super) enum Step {
        Go { metres: u32 },
        Stop,
        Turn(f32),
    }
    #[derive(Deserialize)]
    pub(super) struct Tree {
        left: Option<Box<Tree>>,
        right: Vec<Tree>,
        steps: Vec<Step>,
    }
    #[derive(Deserialize)]
    pub(super) enum Chain {
        Link(Box<Chain>),
        End,
    }
}

mod after {
    use super::Deserialize;
    #[derive(Deserialize)]
    pub(super) struct Page {
        words: u32,
        title: String,
    }
    #[derive(Deserialize)]
    pub(super) enum Step {
        Go { metres: u32 },
        Stop,
        // Deep inside of one variant only.
        Turn(f64),
    }
    #[derive(Deserialize)]
    pub(super) struct Tree {
        left: Option<Box<Tree>>,
        right: Vec<Tree>,
        steps: Vec<Step>,
    }
}

#[test]
fn types_that_differ_anywhere_have_other_shapes() {
    let shapes = [
        of::<u32>(),
        of::<u64>(),
        of::<i64>(),
        of::<(u32,)>(),
        of::<(u32, u32)>(),
        of::<((u32, u32),)>(),
        of::<Vec<u32>>(),
        of::<Option<u32>>(),
        of::<Option<String>>(),
        of::<HashMap<u32, String>>(),
        of::<BTreeMap<String, u32>>(),
        of::<before::Page>(),
        of::<after::Page>(),
        of::<before::Step>(),
        of::<after::Step>(),
        of::<before::Tree>(),
        of::<after::Tree>(),
        of::<before::Chain>(),
        of::<Result<u32, String>>(),
        of::<Result<String, u32>>(),
        of::<()>(),
        of::<Duration>(),
        of::<IpAddr>(),
    ];
    for (n, shape) in shapes.iter().enumerate() {
        assert!(!shapes[..n].contains(shape), "number {n} is like one before it");
    }
}

#[test]
fn a_type_has_one_shape() {
    assert_eq!(of::<before::Tree>(), of::<before::Tree>());
    assert_eq!(of::<NonZeroU32>(), of::<u32>());
    assert_eq!(of::<String>(), of::<Box<str>>());
    // Written down: programs built at other times have to agree.
    assert_eq!(of::<(u64, String)>(), 1_609_177_156_343_453_130);
}
