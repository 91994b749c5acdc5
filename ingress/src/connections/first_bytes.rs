//! A connection whose first bytes must come soon. Before these it is not known which protocol it speaks, so no other limit holds it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What clients of HTTP/2 begin with has so many bytes, and no request by HTTP/1 has fewer.
const FIRST_BYTES: usize = 24;
/// How long they may take.
const WAIT_MAX: Duration = Duration::from_secs(10);

pub struct FirstBytes<S> {
    stream: S,
    /// Until they are here.
    wait: Option<Wait>,
}

struct Wait {
    left: usize,
    end: Pin<Box<Sleep>>,
}

impl<S> FirstBytes<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, wait: Some(Wait { left: FIRST_BYTES, end: Box::pin(sleep(WAIT_MAX)) }) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstBytes<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(wait) = &mut self.wait else { return read };
        wait.left = wait.left.saturating_sub(buffer.filled().len() - before);
        if wait.left == 0 {
            self.wait = None;
        } else if read.is_pending() && wait.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstBytes<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_sends_too_little_is_cut_off_and_others_may_be_silent_later() {
        for (bytes, is_cut) in [(0, true), (FIRST_BYTES - 1, true), (FIRST_BYTES, false), (100, false)] {
            let (mut client, server) = tokio::io::duplex(1024);
            client.write_all(&vec![7; bytes]).await.expect("there is room");
            let mut server = FirstBytes::new(server);
            server.read_exact(&mut vec![0; bytes]).await.expect("they are there");
            let read = tokio::time::timeout(WAIT_MAX * 10, server.read_u8()).await;
            assert_eq!(matches!(read, Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut), is_cut, "{bytes} bytes");
        }
    }
}
