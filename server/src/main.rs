//! The binary. Everything it does is in `cli/`.

use std::process::ExitCode;

// The allocator is a choice that is measured, not believed: build with `--features mimalloc` and
// compare (docs/performance.md).
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ratel_server::cli::run()
}
