//! A stand-in for servers that speak HTTP, such as Prometheus and Elasticsearch.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a client may take for a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client asks for.
pub struct Request {
    /// With what stands behind a question mark.
    pub path: String,
    /// Empty where there is none.
    pub body: String,
}

/// An answer to a request: its status, and its body.
pub type Answer = (u16, String);

/// Answers in a thread of its own until it is dropped. One request a connection.
pub struct Server {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// At a free port.
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), answer)
    }

    /// At an address that clients know already.
    ///
    /// # Panics
    /// When it is taken.
    pub fn start_at(address: SocketAddr, answer: impl Fn(&Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let address = listener.local_addr().expect("it is bound");
        let stopped = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stopped);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(|stream| stream.ok().filter(|_| !is_stopped.load(Ordering::Relaxed))) {
                // A client that goes away in the middle has no answer, and that is all.
                let _ = serve(stream, &answer);
            }
        });
        Self { address, stopped, thread: Some(thread) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread, which waits for connections.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(stream: TcpStream, answer: &impl Fn(&Request) -> Answer) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(&stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap_or_default(),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request = Request { path, body: String::from_utf8_lossy(&body).into_owned() };
    let (status, body) = answer(&request);
    let body = if method == "HEAD" { "" } else { &body };
    let length = body.len();
    write!(
        &stream,
        "HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}
