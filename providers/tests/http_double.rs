//! An HTTP server whose answers the test decides, even those that no HTTP server would give.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// A request.
pub(crate) struct Request {
    /// `GET`, `PUT`, `POST`.
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// Header lines, in order.
    headers: Vec<Header>,
    /// The body, as text.
    pub(crate) body: String,
}

/// A header line.
struct Header {
    /// The name, in lower case.
    name: String,
    value: String,
}

impl Request {
    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
    }
}

/// The server's reaction to a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// An answer: status, header lines (each with its line end) and body.
    Answer(u16, &'static str, String),
    /// The end of the connection, without an answer.
    Close,
    /// The end of the connection, in the middle of the body.
    Truncated,
    /// Nothing, while the connection stays open.
    Silence,
}

/// A certificate of `localhost` and its key, made for one test.
pub(crate) struct Identity {
    /// Path of the certificate, which vouches for itself.
    pub(crate) certificate: String,
    config: Arc<rustls::ServerConfig>,
}

impl Identity {
    /// Has openssl make a certificate.
    pub(crate) fn new(name: &str) -> Self {
        let file =
            |kind: &str| format!("{}/{name}-{kind}-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
        let (key, certificate) = (file("key"), file("certificate"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "1",
            ])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &key, "-out", &certificate])
            .output()
            .expect("openssl cannot be started: install it, or run tests/run as root once, which does");
        assert!(made.status.success(), "{made:?}");
        let chain =
            CertificateDer::pem_file_iter(Path::new(&certificate)).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(Path::new(&key)).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
        Self { certificate, config: Arc::new(config) }
    }
}

/// A running server, which lives as long as the test.
pub(crate) struct HttpDouble {
    scheme: &'static str,
    addr: SocketAddr,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl HttpDouble {
    /// Starts a server at a free port. `answer` is given a request and the number of requests before it.
    pub(crate) fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(0, answer)
    }

    /// Starts a server at this port.
    pub(crate) fn start_at(
        port: u16,
        answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::serve("http", port, move |stream, requests| serve(stream, &answer, requests))
    }

    /// Starts a server that speaks TLS, at `https://localhost:PORT`.
    pub(crate) fn start_tls(
        identity: &Identity,
        answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let config = Arc::clone(&identity.config);
        Self::serve("https", 0, move |stream, requests| {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            serve(rustls::StreamOwned::new(connection, stream), &answer, requests);
        })
    }

    fn serve(
        scheme: &'static str,
        port: u16,
        serve: impl Fn(TcpStream, &AtomicUsize) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let addr = listener.local_addr().unwrap();
        let serve = Arc::new(serve);
        let requests = Arc::new(AtomicUsize::new(0));
        let connections = Arc::new(AtomicUsize::new(0));
        let double =
            Self { scheme, addr, requests: Arc::clone(&requests), connections: Arc::clone(&connections) };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                connections.fetch_add(1, Ordering::SeqCst);
                let (serve, requests) = (Arc::clone(&serve), Arc::clone(&requests));
                thread::spawn(move || serve(stream, &requests));
            }
        });
        double
    }

    /// The server's URL: `http://127.0.0.1:PORT`, or `https://localhost:PORT`, which its certificate is for.
    pub(crate) fn url(&self) -> String {
        match self.scheme {
            "https" => format!("https://localhost:{}", self.addr.port()),
            scheme => format!("{scheme}://{}", self.addr),
        }
    }

    /// Number of requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn serve(
    stream: impl Read + Write,
    answer: &(impl Fn(&Request, usize) -> Reply + ?Sized),
    requests: &AtomicUsize,
) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream) {
        let writer = stream.get_mut();
        let sent = match answer(&request, requests.fetch_add(1, Ordering::SeqCst)) {
            Reply::Answer(status, headers, body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n{headers}\r\n");
                writer.write_all((head + &body).as_bytes())
            }
            Reply::Close => return,
            Reply::Truncated => {
                let _ = writer.write_all(b"HTTP/1.1 200 x\r\nContent-Length: 5000\r\n\r\n<DescribeInst");
                return;
            }
            Reply::Silence => Ok(()),
        };
        if sent.is_err() || request.header("connection") == Some("close") {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut first = first.split(' ').map(str::to_owned);
    let (method, path) = (first.next()?, first.next()?);
    let is_1_0 = first.next()? == "HTTP/1.0";
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push(Header { name: name.to_ascii_lowercase(), value: value.trim().to_owned() });
    }
    if is_1_0 {
        headers.push(Header { name: "connection".to_owned(), value: "close".to_owned() });
    }
    let mut request = Request { method, path, headers, body: String::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).unwrap();
    Some(request)
}
