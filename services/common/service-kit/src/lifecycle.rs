//! Start and two-stage stop: the first signal stops taking work and finishes what is going on, a second
//! one or the deadline aborts. A background task that ends by itself with an error brings the process down.

use std::{fmt::Display, future::Future, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Tracks the background tasks of a process and the wish to stop.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    retiring: CancellationToken,
    stopping: CancellationToken,
    tasks: TaskTracker,
    failures: mpsc::Sender<TaskFailed>,
}

/// A background task that ended although nobody asked it to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task `{task}` failed: {reason}")]
pub struct TaskFailed {
    /// Which.
    pub task: &'static str,
    /// Why.
    pub reason: String,
}

impl Lifecycle {
    /// A new lifecycle, and where its failed tasks are told.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<TaskFailed>) {
        let (failures, receiver) = mpsc::channel(16);
        let retiring = CancellationToken::new();
        let stopping = CancellationToken::new();
        (Self { retiring, stopping, tasks: TaskTracker::new(), failures }, receiver)
    }

    /// Becomes cancelled when the process is about to stop: it still answers, and hands over what others can do.
    #[must_use]
    pub fn retiring(&self) -> CancellationToken {
        self.retiring.clone()
    }

    /// Asks everything to hand over.
    pub fn retire(&self) {
        self.retiring.cancel();
    }

    /// Becomes cancelled when the process is to stop.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Runs a task until it ends or the process stops. An error, or a panic, brings the process down.
    pub fn spawn<E: Display + Send + 'static>(
        &self,
        task: &'static str,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let (failures, stopping) = (self.failures.clone(), self.stopping.clone());
        self.tasks.spawn(async move {
            let reason = match tokio::spawn(work).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(panic) if panic.is_panic() => "it panicked; the log has the message".to_owned(),
                Err(_) => return,
            };
            if !stopping.is_cancelled() {
                tracing::error!(task, reason, "a background task failed");
                // The receiver takes the first failure; more than the channel holds say nothing new.
                let _ = failures.try_send(TaskFailed { task, reason });
            }
        });
    }

    /// Asks everything to stop, and waits for it at most `deadline`. Tells whether all ended in time.
    pub async fn stop(&self, deadline: Duration) -> bool {
        self.retiring.cancel();
        self.stopping.cancel();
        self.tasks.close();
        timeout(deadline, self.tasks.wait()).await.is_ok()
    }

    /// Waits for SIGINT or SIGTERM.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub async fn signal() -> std::io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    }
}
