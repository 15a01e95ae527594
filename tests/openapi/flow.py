"""Creates, reads, lists, tags and dooms a record by a client that openapi-python-client has made of the document."""

import os

from metarecord_client import AuthenticatedClient
from metarecord_client.api.mrs import (
    mrs_doom,
    mrs_list,
    mrs_record_get,
    mrs_record_put,
    mrs_tag_add,
)
from metarecord_client.models import DoomRequest, PutRequest, TagRequest

client = AuthenticatedClient(
    base_url=os.environ["BASE_URL"],
    token=os.environ["SESSION_GUID"],
    prefix="",
    auth_header_name="x-session-guid",
)
place = {"orgcode": "DEMO", "container": "generated", "record_id": "python-1"}

with client:
    made = mrs_record_put.sync(
        client=client,
        body=PutRequest(**place, content_type="application/json", payload={"by": "python"}),
    )
    assert made.success and made.data.revision == 1, made
    read = mrs_record_get.sync(client=client, **place)
    assert read.data.record_id == "python-1", read
    tagged = mrs_tag_add.sync(
        client=client, body=TagRequest(**place, tags=["GENERATED"], expected_revision=made.data.revision)
    )
    assert tagged.data.tags == ["GENERATED"], tagged
    listed = mrs_list.sync(client=client, orgcode="DEMO", container="generated", tag="GENERATED")
    assert [item.record_id for item in listed.data.items] == ["python-1"], listed
    # What is refused is typed too.
    stale = mrs_doom.sync(client=client, body=DoomRequest(**place, expected_revision=1))
    assert not stale.success and stale.error.major.tag == "conflict", stale
    doomed = mrs_doom.sync(client=client, body=DoomRequest(**place, expected_revision=2))
    assert doomed.data.status == "doomed", doomed
    gone = mrs_record_get.sync(client=client, **place)
    assert gone.error.major.tag == "not-found", gone

print("OK python")
