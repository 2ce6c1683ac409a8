//! The guide for rustdoc: every block of Rust in a chapter, and in the README of the workspace, is
//! compiled and run as a test.
//!
//! Each chapter is an item of its own, so that a block that fails is named by its chapter. That all
//! chapters are here is checked by `tests/it/chapters.rs`. There is nothing else in this crate.

macro_rules! chapters {
    ($($chapter:ident = $file:literal;)*) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!($file)]
            pub struct $chapter;
        )*
    };
}

chapters! {
    FrontPage = "../../../README.md";
    Contents = "../README.md";
    ChoosingAModel = "../choosing-a-model.md";
    FirstServer = "../first-server.md";
    Cancellation = "../cancellation.md";
    Sharding = "../sharding.md";
    CpuBoundWork = "../cpu-bound-work.md";
    Testing = "../testing.md";
    Observability = "../observability.md";
    Deployment = "../deployment.md";
    FromAsyncio = "../from-asyncio.md";
    FromTokio = "../from-tokio.md";
}
