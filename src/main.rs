//! Parse, dispatch, exit code; nothing else.

use std::process::ExitCode;

/// Also in librdkafka's place: it makes and frees ten small buffers a record, on other threads than they were made on.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    analytica::cli::main().into()
}
