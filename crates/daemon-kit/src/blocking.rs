//! Work that blocks, away from the tasks that must not.

/// Runs what blocks on the disk where it may. A panic inside goes on in the caller: whoever supervises has to see it.
///
/// # Errors
/// Those of `work`, and when the runtime ends before it was begun.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(error.into()),
    }
}
