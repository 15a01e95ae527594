//! PostgreSQL with its default durability, over pipelined connections.

use std::cell::Cell;
use std::path::Path;

use tokio_postgres::{Client, NoTls, Statement};

use super::Record;
use crate::failure::{Failure, Result, While};

/// Connections of each worker: what waits together shares a flush of the log.
const CONNECTIONS: usize = 12;
const TABLES: &str = "\
    CREATE TABLE records (id text PRIMARY KEY, body text NOT NULL);
    CREATE TABLE tags (tag text, id text, PRIMARY KEY (tag, id));";
const PUT: &str = "\
    WITH stored AS (INSERT INTO records VALUES ($1, $2))
    INSERT INTO tags SELECT tag, $1 FROM unnest($3::text[]) tag";
const GET: &str = "SELECT body FROM records WHERE id = $1";
const PAGE: &str = "\
    SELECT body FROM (SELECT id FROM tags WHERE tag = $1 ORDER BY id LIMIT 8) page
    JOIN records USING (id) ORDER BY id";

async fn connect(socket: &Path) -> Result<Client> {
    let address = format!(
        "host={} user={} dbname=postgres",
        socket.display(),
        crate::peer::POSTGRES_USER
    );
    let connected = tokio_postgres::connect(&address, NoTls).await;
    let (client, connection) = connected.while_trying("connecting to PostgreSQL")?;
    // It ends with its client; what goes wrong comes to those who ask.
    drop(actix_web::rt::spawn(connection));
    Ok(client)
}

/// Creates the tables, and says what PostgreSQL says of its own settings, if that is durable.
pub(super) async fn set_up(socket: &Path) -> Result<String> {
    let client = connect(socket).await?;
    client
        .batch_execute(TABLES)
        .await
        .while_trying("creating PostgreSQL's tables")?;
    let mut facts = vec![format!(
        "PostgreSQL {}",
        show(&client, "server_version").await?
    )];
    for name in ["fsync", "synchronous_commit", "full_page_writes"] {
        let value = show(&client, name).await?;
        if value != "on" {
            return Err(Failure::new(format!(
                "PostgreSQL has {name}={value} and not on: its figures would not compare"
            )));
        }
        facts.push(format!("{name}=on"));
    }
    Ok(facts.join(", "))
}

async fn show(client: &Client, name: &str) -> Result<String> {
    let row = client.query_one(&format!("SHOW {name}"), &[]).await;
    Ok(row.while_trying("reading PostgreSQL's settings")?.get(0))
}

struct Pipeline {
    client: Client,
    put: Statement,
    get: Statement,
    page: Statement,
}

/// The connections of one worker.
pub(crate) struct Pipelines {
    all: Vec<Pipeline>,
    next: Cell<usize>,
}

impl Pipelines {
    /// Connects, and prepares the statements.
    pub(super) async fn connect(socket: &Path) -> Result<Self> {
        let mut all = Vec::new();
        for _ in 0..CONNECTIONS {
            let client = connect(socket).await?;
            let what = "preparing PostgreSQL's statements";
            let put = client.prepare(PUT).await.while_trying(what)?;
            let get = client.prepare(GET).await.while_trying(what)?;
            let page = client.prepare(PAGE).await.while_trying(what)?;
            all.push(Pipeline {
                client,
                put,
                get,
                page,
            });
        }
        Ok(Self {
            all,
            next: Cell::new(0),
        })
    }

    fn next(&self) -> &Pipeline {
        let next = self.next.get();
        self.next.set((next + 1) % self.all.len());
        &self.all[next]
    }

    pub(super) async fn put(&self, record: &Record) -> Result<()> {
        let Pipeline { client, put, .. } = self.next();
        let stored = client
            .execute(put, &[&record.id, &record.body, &record.tags])
            .await;
        stored.map(drop).while_trying("writing to PostgreSQL")
    }

    pub(super) async fn get(&self, id: &str) -> Result<Option<String>> {
        let Pipeline { client, get, .. } = self.next();
        let row = client
            .query_opt(get, &[&id])
            .await
            .while_trying("reading from PostgreSQL")?;
        Ok(row.map(|row| row.get(0)))
    }

    pub(super) async fn page(&self, tag: &str) -> Result<Vec<String>> {
        let Pipeline { client, page, .. } = self.next();
        let rows = client
            .query(page, &[&tag])
            .await
            .while_trying("listing from PostgreSQL")?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    pub(super) async fn count(&self) -> Result<u64> {
        let row = self
            .next()
            .client
            .query_one("SELECT count(*) FROM records", &[])
            .await;
        let count: i64 = row.while_trying("counting in PostgreSQL")?.get(0);
        Ok(count.cast_unsigned())
    }
}
