//! Content up to and down from presigned urls, streamed: no more than a buffer of it is held.

use std::io::{self, Read, Write};

use ureq::SendBody;
use ureq::http::{HeaderMap, Request};

use super::{Client, Reply, TransportError, malformed, no_answer, reply};

/// Bytes moved at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Called with the number of bytes moved so far.
pub type TransferProgress<'a> = &'a mut dyn FnMut(u64);

/// How a transfer ended.
#[derive(Debug)]
pub enum Transfer {
    /// All bytes were transferred.
    Done {
        /// Bytes of the finished transfer.
        bytes: u64,
        /// The answer's headers, such as `ETag`.
        headers: HeaderMap,
    },
    /// The service said no; the envelope says why.
    Refused(Reply),
}

/// Counts what passes, and keeps the reason why reading failed apart from the network's.
struct Source<'a> {
    inner: &'a mut dyn Read,
    moved: u64,
    progress: TransferProgress<'a>,
    failure: Option<io::Error>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(count) => {
                self.moved += count as u64;
                (self.progress)(self.moved);
                Ok(count)
            }
            Err(error) => {
                let kind = error.kind();
                self.failure = Some(error);
                Err(kind.into())
            }
        }
    }
}

impl Client {
    /// Puts exactly `size` bytes to a presigned url with the headers that came with it. No credential is sent.
    ///
    /// # Errors
    /// [`TransportError`] when there is no answer, or `content` cannot be read.
    pub fn upload(
        &self,
        url: &str,
        headers: &[(String, String)],
        content: &mut dyn Read,
        size: u64,
        progress: TransferProgress<'_>,
    ) -> Result<Transfer, TransportError> {
        let mut request = Request::put(url).header("content-length", size);
        for (name, value) in headers {
            if !name.eq_ignore_ascii_case("content-length") {
                request = request.header(name, value);
            }
        }
        let mut source = Source {
            inner: content,
            moved: 0,
            progress,
            failure: None,
        };
        let body = SendBody::from_reader(&mut source);
        let answer = self.run(url, request.body(body).map_err(malformed)?);
        if let Some(error) = source.failure {
            return Err(TransportError::Local(error));
        }
        let bytes = source.moved;
        let mut response = answer?;
        if !response.status().is_success() {
            return Ok(Transfer::Refused(reply::read(url, response)?));
        }
        // What is left unread would keep the connection from being used again.
        let read = response.body_mut().read_to_vec();
        read.map_err(|error| no_answer(url, error))?;
        Ok(Transfer::Done {
            bytes,
            headers: std::mem::take(response.headers_mut()),
        })
    }

    /// Puts exactly `size` bytes to a path of this address, with the credential.
    ///
    /// # Errors
    /// [`TransportError`] when there is no answer, or `content` cannot be read.
    pub fn put_content(
        &self,
        path: &str,
        content: &mut dyn Read,
        size: u64,
        progress: TransferProgress<'_>,
    ) -> Result<Reply, TransportError> {
        let url = format!("{}{path}", self.base_url);
        let mut request = Request::put(url).header("content-length", size);
        for (name, value) in self.credential.headers() {
            request = request.header(name, value);
        }
        let mut source = Source {
            inner: content,
            moved: 0,
            progress,
            failure: None,
        };
        let body = SendBody::from_reader(&mut source);
        let answer = self.run(&self.address, request.body(body).map_err(malformed)?);
        match source.failure {
            Some(error) => Err(TransportError::Local(error)),
            None => reply::read(&self.address, answer?),
        }
    }

    /// Gets what a presigned url holds, as it is: gzip stays gzip. No credential is sent.
    ///
    /// # Errors
    /// [`TransportError`] when there is no answer, it ends early, or `sink` cannot be written.
    pub fn download(
        &self,
        url: &str,
        sink: &mut dyn Write,
        progress: TransferProgress<'_>,
    ) -> Result<Transfer, TransportError> {
        let mut response = self.run(url, Request::get(url).body(()).map_err(malformed)?)?;
        if !response.status().is_success() {
            return Ok(Transfer::Refused(reply::read(url, response)?));
        }
        let headers = std::mem::take(response.headers_mut());
        let mut content = response.body_mut().as_reader();
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut bytes = 0;
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(no_answer(url, error.into())),
            };
            let written = sink.write_all(&buffer[..count]);
            written.map_err(TransportError::Local)?;
            bytes += count as u64;
            progress(bytes);
        }
        sink.flush().map_err(TransportError::Local)?;
        Ok(Transfer::Done { bytes, headers })
    }
}
