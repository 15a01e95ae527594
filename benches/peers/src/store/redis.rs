//! Redis with an append-only file that is synced before each answer.

use std::path::Path;

use redis::aio::MultiplexedConnection;

use super::{PAGE, Record};
use crate::failure::{Failure, Result, While};

/// One connection; what is asked meanwhile is sent behind it.
pub(super) async fn connect(socket: &Path) -> Result<MultiplexedConnection> {
    let address = format!("redis+unix://{}", socket.display());
    let client = redis::Client::open(address).while_trying("reading the address of Redis")?;
    client
        .get_multiplexed_async_connection()
        .await
        .while_trying("connecting to Redis")
}

/// What Redis says of its own settings, if that is durable.
pub(super) async fn durability(socket: &Path) -> Result<String> {
    let mut connection = connect(socket).await?;
    let mut facts = Vec::new();
    for (name, wanted) in [("appendonly", "yes"), ("appendfsync", "always")] {
        let answer: redis::RedisResult<Vec<String>> = redis::cmd("CONFIG")
            .arg("GET")
            .arg(name)
            .query_async(&mut connection)
            .await;
        let answer = answer.while_trying("reading Redis's settings")?;
        if answer.get(1).is_none_or(|value| value != wanted) {
            return Err(Failure::new(format!(
                "Redis has {} and not {name} {wanted}: its figures would not compare",
                answer.join(" ")
            )));
        }
        facts.push(format!("{name}={wanted}"));
    }
    Ok(facts.join(", "))
}

pub(super) async fn put(connection: &MultiplexedConnection, record: &Record) -> Result<()> {
    let key = key(&record.id);
    let mut pipe = redis::pipe();
    pipe.atomic()
        .cmd("SET")
        .arg(&key)
        .arg(&record.body)
        .ignore();
    for tag in &record.tags {
        pipe.cmd("ZADD").arg(tag_key(tag)).arg(0).arg(&key).ignore();
    }
    let stored = pipe.query_async::<()>(&mut connection.clone()).await;
    stored.while_trying("writing to Redis")
}

pub(super) async fn get(connection: &MultiplexedConnection, id: &str) -> Result<Option<String>> {
    let found = redis::cmd("GET")
        .arg(key(id))
        .query_async(&mut connection.clone())
        .await;
    found.while_trying("reading from Redis")
}

pub(super) async fn page(connection: &MultiplexedConnection, tag: &str) -> Result<Vec<String>> {
    let mut connection = connection.clone();
    let mut range = redis::cmd("ZRANGEBYLEX");
    range
        .arg(tag_key(tag))
        .arg("-")
        .arg("+")
        .arg("LIMIT")
        .arg(0)
        .arg(PAGE);
    let keys: redis::RedisResult<Vec<String>> = range.query_async(&mut connection).await;
    let keys = keys.while_trying("listing from Redis")?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let bodies = redis::cmd("MGET")
        .arg(&keys)
        .query_async(&mut connection)
        .await;
    bodies.while_trying("reading a page from Redis")
}

pub(super) async fn count(connection: &MultiplexedConnection) -> Result<u64> {
    let script = "return #redis.call('KEYS', 'record:*')";
    let counted = redis::cmd("EVAL")
        .arg(script)
        .arg(0)
        .query_async(&mut connection.clone())
        .await;
    counted.while_trying("counting in Redis")
}

fn key(id: &str) -> String {
    format!("record:{id}")
}

fn tag_key(tag: &str) -> String {
    format!("tag:{tag}")
}
