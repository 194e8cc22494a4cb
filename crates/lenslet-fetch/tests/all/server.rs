//! A small HTTP server on the loopback address that behaves as badly as a test asks it to.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What is done with one request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// The file; of it what was asked for.
    File,
    /// The file, whatever part was asked for.
    Whole,
    /// The headers of the whole, and so many bytes from where it was asked for; then the connection is closed.
    Cut(usize),
    /// The same, but the connection stays open in silence.
    Silent(usize),
    /// This status, with this value of Content-Range if any.
    Status(u16, Option<&'static str>),
    /// Another body, of this type.
    Other(&'static str, &'static [u8]),
    /// This Content-Length, and the file.
    Length(u64),
    /// Zeros without end, in chunks.
    Endless,
    /// The connection is closed without a word.
    Nothing,
    /// A part that begins a byte later than it was asked for.
    Shifted,
}

/// A request: its path and the values of Range and If-Range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
}

#[derive(Default)]
struct State {
    files: Vec<(String, Vec<u8>)>,
    /// Answers to come; when there are none left, files are given.
    answers: VecDeque<Answer>,
    requests: Vec<Request>,
    /// Bytes of bodies sent.
    sent: usize,
    etag: String,
    /// Connections that are kept open in silence.
    silent: Vec<TcpStream>,
}

/// Serves files from memory until the process ends.
#[derive(Clone)]
pub(crate) struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn new(files: &[(String, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback address");
        let port = listener.local_addr().expect("an address").port();
        let state = State { files: files.to_vec(), etag: "\"first\"".into(), ..State::default() };
        let server = Self { port, state: Arc::new(Mutex::new(state)) };
        let served = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                // A client that leaves in the middle is no error here.
                std::thread::spawn(move || served.serve(stream));
            }
        });
        server
    }

    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// What the next requests get.
    pub(crate) fn answers(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state.lock().unwrap().answers.extend(answers);
    }

    pub(crate) fn etag(&self, etag: &str) {
        self.state.lock().unwrap().etag = etag.into();
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    pub(crate) fn sent(&self) -> usize {
        self.state.lock().unwrap().sent
    }

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let request = read(&stream)?;
        let (answer, etag, file) = {
            let mut state = self.state.lock().unwrap();
            state.requests.push(request.clone());
            let name = request.path.rsplit('/').next()?;
            let file = state.files.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes.clone());
            (state.answers.pop_front().unwrap_or(Answer::File), state.etag.clone(), file)
        };
        let Some(file) = file else { return self.send(&mut stream, "404 Not Found", "content-length: 0\r\n", b"") };
        let length = file.len();
        let asked = request.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        let holds = request.if_range.as_ref().is_none_or(|known| *known == etag);
        let from = asked.filter(|_| holds).and_then(|from| from.parse().ok()).unwrap_or(0).min(length);
        let (from, count) = match answer {
            Answer::Cut(count) | Answer::Silent(count) => (from, count.min(length - from)),
            Answer::Whole | Answer::Length(_) => (0, length),
            _ => (from, length - from),
        };
        let tag = if etag.is_empty() { String::new() } else { format!("etag: {etag}\r\n") };
        let (status, headers) = if from > 0 {
            let first = if matches!(answer, Answer::Shifted) { from + 1 } else { from };
            let range = format!("content-range: bytes {first}-{}/{length}\r\n", length - 1);
            ("206 Partial Content".to_owned(), format!("{tag}{range}content-length: {}\r\n", length - from))
        } else {
            ("200 OK".to_owned(), format!("{tag}content-length: {length}\r\n"))
        };
        match answer {
            Answer::Status(status, range) => {
                let range = range.map_or(String::new(), |range| format!("content-range: {range}\r\n"));
                self.send(&mut stream, &format!("{status} So"), &format!("{range}content-length: 0\r\n"), b"")
            }
            Answer::Other(kind, body) => {
                let headers = format!("content-type: {kind}\r\ncontent-length: {}\r\n", body.len());
                self.send(&mut stream, "200 OK", &headers, body)
            }
            Answer::Length(length) => self.send(&mut stream, "200 OK", &format!("content-length: {length}\r\n"), &file),
            Answer::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").ok()?;
                while stream.write_all(format!("2000\r\n{}\r\n", "\0".repeat(0x2000)).as_bytes()).is_ok() {}
                None
            }
            Answer::Nothing => None,
            Answer::Silent(_) => {
                self.send(&mut stream, &status, &headers, &file[from..][..count])?;
                self.state.lock().unwrap().silent.push(stream);
                None
            }
            Answer::File | Answer::Whole | Answer::Cut(_) | Answer::Shifted => {
                self.send(&mut stream, &status, &headers, &file[from..][..count])
            }
        }
    }

    fn send(&self, stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> Option<()> {
        // Counted first: who has received the last byte may look at once.
        self.state.lock().unwrap().sent += body.len();
        write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n").ok()?;
        stream.write_all(body).ok()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut request = Request { path, range: None, if_range: None };
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value.to_owned()),
            "if-range" => request.if_range = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(request)
}
