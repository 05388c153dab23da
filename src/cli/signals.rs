//! SIGINT and SIGTERM: the first one drains, the second one stops at once.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// Cancels `stop` on the first signal and ends the process on the second, with the code that shells give to a process which that signal ended. Kafka's offsets are safe either way: what was not acknowledged
/// comes again.
pub async fn stop_on_signal(stop: CancellationToken) {
    let (mut interrupt, mut terminate) = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => return error!(%error, "cannot listen for signals: they end the process without draining"),
    };
    either(interrupt.recv(), terminate.recv()).await;
    stop.cancel();
    let signal = either(interrupt.recv(), terminate.recv()).await;
    warn!("stopped at once; what was in flight comes again at the next start");
    std::process::exit(128 + signal.as_raw_value());
}

async fn either(interrupt: impl Future<Output = Option<()>>, terminate: impl Future<Output = Option<()>>) -> SignalKind {
    tokio::select! { _ = interrupt => SignalKind::interrupt(), _ = terminate => SignalKind::terminate() }
}
