//! What a thin handler stores in: the body under its id and three rows of tags, durable before the answer.

mod group;
mod log;
mod postgres;
mod redis;
mod sqlite;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::failure::{Failure, Result};
use crate::peer::Kind;
use group::Writer;

/// Records of one page.
pub(crate) const PAGE: usize = 8;
/// What the peer without a store answers to everything.
const CONSTANT: &str = r#"{"number":0,"text":"constant"}"#;

/// A record as it is stored.
pub(crate) struct Record {
    /// The container and the record's id.
    pub(crate) id: String,
    /// JSON of the payload, as it came.
    pub(crate) body: String,
    /// The tags, each with the container.
    pub(crate) tags: Vec<String>,
}

#[derive(Deserialize)]
struct Create<'a> {
    container: &'a str,
    record_id: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
    tags: Vec<&'a str>,
}

impl Record {
    /// Reads the body of a create; `None` if it is none.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let create: Create<'_> = serde_json::from_slice(body).ok()?;
        let tagged = |tag: &&str| format!("{}/{tag}", create.container);
        Some(Self {
            id: format!("{}/{}", create.container, create.record_id),
            body: create.payload.get().to_owned(),
            tags: create.tags.iter().map(tagged).collect(),
        })
    }
}

/// What all workers share: where the store is, and the thread that writes, if there is one.
#[derive(Clone)]
pub(crate) enum Shared {
    /// Nothing is stored.
    Constant,
    /// A file that is only appended to.
    Log(PathBuf, Writer),
    /// A database in a file.
    Sqlite(PathBuf, Writer),
    /// The Unix socket of a Redis server.
    Redis(PathBuf),
    /// The directory with the Unix socket of a PostgreSQL server.
    Postgres(PathBuf),
}

impl Shared {
    /// Sets up an empty store, and says how durable it is by its own settings. `socket` is where its server listens.
    pub(crate) async fn open(
        kind: Kind,
        directory: &Path,
        socket: &Path,
    ) -> Result<(Self, String)> {
        match kind {
            Kind::Constant => Ok((Self::Constant, "stores nothing".to_owned())),
            Kind::Log => log::open(directory),
            Kind::Sqlite => sqlite::open(directory),
            Kind::Redis => Ok((
                Self::Redis(socket.to_owned()),
                redis::durability(socket).await?,
            )),
            Kind::Postgres => {
                let durability = postgres::set_up(socket).await?;
                Ok((Self::Postgres(socket.to_owned()), durability))
            }
            Kind::G3n => Err(Failure::new(
                "g3n is a server already; serve one of the other peers",
            )),
        }
    }

    /// The store for one worker, with connections of its own.
    pub(crate) async fn connect(&self) -> Result<Store> {
        Ok(match self {
            Self::Constant => Store::Constant,
            Self::Log(path, writer) => Store::Log(path.clone(), writer.clone()),
            Self::Sqlite(path, writer) => {
                Store::Sqlite(sqlite::Reader::open(path)?, writer.clone())
            }
            Self::Redis(socket) => Store::Redis(redis::connect(socket).await?),
            Self::Postgres(socket) => Store::Postgres(postgres::Pipelines::connect(socket).await?),
        })
    }
}

/// A store as one worker has it.
pub(crate) enum Store {
    /// Answers the same to everything.
    Constant,
    /// Appends, and reads nothing back but a count.
    Log(PathBuf, Writer),
    /// Reads here, writes in one thread for all workers.
    Sqlite(sqlite::Reader, Writer),
    /// One connection for all requests of the worker.
    Redis(::redis::aio::MultiplexedConnection),
    /// Some connections, in turn.
    Postgres(postgres::Pipelines),
}

impl Store {
    /// Stores a record; durable on return.
    pub(crate) async fn put(&self, record: Record) -> Result<()> {
        match self {
            Self::Constant => Ok(()),
            Self::Log(_, writer) | Self::Sqlite(_, writer) => writer.write(record).await,
            Self::Redis(connection) => redis::put(connection, &record).await,
            Self::Postgres(pipelines) => pipelines.put(&record).await,
        }
    }

    /// The body stored under an id.
    pub(crate) async fn get(&self, id: &str) -> Result<Option<String>> {
        match self {
            Self::Constant => Ok(Some(CONSTANT.to_owned())),
            Self::Log(..) => Err(Failure::new("the bare log reads nothing back")),
            Self::Sqlite(reader, _) => reader.get(id),
            Self::Redis(connection) => redis::get(connection, id).await,
            Self::Postgres(pipelines) => pipelines.get(id).await,
        }
    }

    /// The bodies of the first records with a tag, in the order of their ids.
    pub(crate) async fn page(&self, tag: &str) -> Result<Vec<String>> {
        match self {
            Self::Constant => Ok(vec![CONSTANT.to_owned(); PAGE]),
            Self::Log(..) => Err(Failure::new("the bare log reads nothing back")),
            Self::Sqlite(reader, _) => reader.page(tag),
            Self::Redis(connection) => redis::page(connection, tag).await,
            Self::Postgres(pipelines) => pipelines.page(tag).await,
        }
    }

    /// How many records are stored.
    pub(crate) async fn count(&self) -> Result<u64> {
        match self {
            Self::Constant => Ok(0),
            Self::Log(path, _) => log::count(path),
            Self::Sqlite(reader, _) => reader.count(),
            Self::Redis(connection) => redis::count(connection).await,
            Self::Postgres(pipelines) => pipelines.count().await,
        }
    }
}
