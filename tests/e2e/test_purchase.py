# SPDX-License-Identifier: BSD-2-Clause
"""Events, items and orders over REST: every rule of the sale and the status it answers with."""

import datetime
import re
import threading
import uuid

import pytest

from client import assert_problem, compose
from gateway import wait_for


@pytest.fixture
def event(shared):
    """A new event on the shared gateway: event(quota, limit, …) gives its slug."""
    def make(quota=10, limit=0, **more):
        slug = "e-" + uuid.uuid4().hex[:12]
        shared.create_event(slug, quota, limit, **more)
        return slug
    return make


def order_path(slug, code, action=""):
    return f"/api/v1/events/{slug}/orders/{code}{action}"


def act(gateway, slug, order, action, buyer=None, secret=None):
    headers = {"X-User-Id": buyer} if buyer else {}
    body = {"secret": secret} if secret else {}
    return gateway.client.post(order_path(slug, order["code"], "/" + action), body, headers)


def test_event_is_created_and_read(shared):
    made = shared.create_event("opera", 100, 4, hold="300s")
    assert made["slug"] == "opera" and made["state"] == "open" and made["max_per_buyer"] == 4
    assert made["hold"] == "300s"
    read = shared.client.get("/api/v1/events/opera")
    assert read.status == 200 and read.header("Content-Type") == "application/json"
    item = read.json()["items"][0]
    assert (item["item"], item["price"], item["currency"], item["quota"]) == \
        ("standard", "88.00", "EUR", 100)
    assert item["availability"]["available_number"] == 100
    items = shared.client.get("/api/v1/events/opera/items").json()["results"]
    assert [i["item"] for i in items] == ["standard"]
    one = shared.client.get("/api/v1/events/opera/items/standard").json()
    assert one["quota"] == 100
    availability = shared.availability("opera")
    assert availability["available"] is True
    assert (availability["held"], availability["sold"], availability["quota"]) == (0, 0, 100)
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", availability["as_of"])


def test_event_exists_already(shared, event):
    slug = event()
    again = shared.client.post("/api/v1/events", {
        "slug": slug, "name": "x", "items": [
            {"item": "a", "name": "a", "price": "1.00", "currency": "EUR", "quota": 1}]})
    assert_problem(again, 409, "already-exists")


@pytest.mark.parametrize("change, path", [
    ({"slug": "No Slug"}, "slug"),
    ({"items": []}, "items"),
    ({"items": [{"item": "a", "name": "a", "price": "free", "currency": "EUR", "quota": 1}]},
     "items[0].price"),
    ({"items": [{"item": "a", "name": "a", "price": "1.00", "currency": "euro", "quota": 1}]},
     "items[0].currency"),
    ({"items": [{"item": "a", "name": "a", "price": "1.00", "currency": "EUR", "quota": 0}]},
     "items[0].quota"),
    ({"max_per_buyer": -1}, "max_per_buyer"),
    ({"max_per_buyer": "many"}, "max_per_buyer"),
    ({"colour": "red"}, "colour"),
])
def test_event_that_is_not_valid(shared, change, path):
    event = {"slug": "v-" + uuid.uuid4().hex[:8], "name": "x", "items": [
        {"item": "a", "name": "a", "price": "1.00", "currency": "EUR", "quota": 1}]}
    event.update(change)
    document = assert_problem(shared.client.post("/api/v1/events", event), 400, "invalid-request")
    assert document["errors"][0]["path"] == path, document
    assert document["errors"][0]["message"]


def test_events_are_listed_in_pages(gateway):
    for i in range(5):
        gateway.create_event(f"list-{i}")
    seen, token = [], ""
    while True:
        page = gateway.client.get(f"/api/v1/events?page_size=2&page_token={token}").json()
        assert len(page["results"]) <= 2
        seen += [e["slug"] for e in page["results"]]
        token = page["next_page_token"]
        if not token:
            break
    assert sorted(seen) == [f"list-{i}" for i in range(5)]


def test_order_is_created(shared, event):
    slug = event(10)
    answer = shared.buy("ann", "key-1", 2, slug)
    assert answer.status == 201, answer
    order = answer.json()
    assert order["status"] == "pending" and order["buyer"] == "ann" and order["event"] == slug
    assert order["quantity"] == 2 and len(set(order["units"])) == 2
    assert order["total"] == "176.00" and order["currency"] == "EUR"
    created = datetime.datetime.fromisoformat(order["created"].replace("Z", "+00:00"))
    expires = datetime.datetime.fromisoformat(order["expires"].replace("Z", "+00:00"))
    assert abs((expires - created).total_seconds() - 600) < 2
    availability = shared.availability(slug)
    assert (availability["available_number"], availability["held"]) == (8, 2)


def test_quantity_is_one_by_default(shared, event):
    slug = event()
    answer = shared.client.post(f"/api/v1/events/{slug}/orders", {"item": "standard"},
                                {"X-User-Id": "ann", "Idempotency-Key": slug})
    assert answer.status == 201 and answer.json()["quantity"] == 1


def test_same_key_same_order(shared, event):
    slug = event()
    first = shared.buy("ann", "again", 2, slug)
    second = shared.buy("ann", "again", 2, slug)
    assert second.status == 201 and second.json() == first.json()
    assert first.header("Idempotency-Replayed") is None
    assert second.header("Idempotency-Replayed") == "true"
    assert shared.availability(slug)["held"] == 2


def test_same_key_other_request(shared, event):
    slug = event()
    shared.buy("ann", "reused", 2, slug)
    assert_problem(shared.buy("ann", "reused", 3, slug), 422, "idempotency-key-reused")


def test_keys_belong_to_their_buyer(shared, event):
    slug = event()
    a, b = shared.buy("ann", "mine", 1, slug).json(), shared.buy("bob", "mine", 1, slug).json()
    assert a["code"] != b["code"]


def test_quoted_key_is_the_same_key(shared, event):
    slug = event()
    a, b = shared.buy("ann", "quoted", 1, slug), shared.buy("ann", '"quoted"', 1, slug)
    assert a.json()["code"] == b.json()["code"]


def test_key_of_a_refused_request_may_be_used_again(shared, event):
    slug = event(2)
    assert_problem(shared.buy("ann", "refused-first", 3, slug), 409, "sold-out")
    assert shared.buy("ann", "refused-first", 2, slug).status == 201


def test_concurrent_requests_with_one_key(shared, event):
    """One order, whoever comes first; the others get it too, or are told to wait."""
    slug = event(100)
    answers = []
    start = threading.Barrier(8)

    def ask():
        start.wait()
        answers.append(shared.buy("ann", "clicked", 1, slug))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    created = [a for a in answers if a.status == 201]
    assert created and len({a.json()["code"] for a in created}) == 1
    for a in answers:
        if a.status != 201:
            assert_problem(a, 409, "request-in-progress")
    assert shared.availability(slug)["held"] == 1


def test_request_in_progress(gateway):
    """Two requests with one key in one turn of the box office: the second finds the first in flight."""
    gateway.create_event("busy", 100)
    for round_ in range(50):
        head = {"X-User-Id": "ann", "Idempotency-Key": f"k{round_}"}
        wire = compose("POST", "/api/v1/events/busy/orders", {"item": "standard"}, head, "x")
        with gateway.client.connect() as a, gateway.client.connect() as b:
            a.send(wire)
            b.send(wire)
            answers = [a.response(), b.response()]
        refused = [x for x in answers if x.status == 409]
        if refused:
            assert_problem(refused[0], 409, "request-in-progress")
            return
        assert len({x.json()["code"] for x in answers}) == 1
    pytest.fail("no two requests met in 50 rounds")


def test_sold_out(shared, event):
    slug = event(3)
    assert shared.buy("ann", quantity=2, event=slug).status == 201
    document = assert_problem(shared.buy("bob", quantity=2, event=slug), 409, "sold-out")
    assert document["available_number"] == 1
    assert shared.buy("bob", quantity=1, event=slug).status == 201
    assert_problem(shared.buy("cyd", quantity=1, event=slug), 409, "sold-out")
    assert shared.availability(slug)["available"] is False


def test_limit_of_a_buyer(shared, event):
    slug = event(10, 4)
    assert shared.buy("ann", quantity=3, event=slug).status == 201
    document = assert_problem(shared.buy("ann", quantity=2, event=slug), 403, "purchase-limit")
    assert (document["limit"], document["used"]) == (4, 3)
    assert shared.buy("ann", quantity=1, event=slug).status == 201
    assert shared.buy("bob", quantity=4, event=slug).status == 201


def test_limit_counts_what_is_held_now(shared, event):
    slug = event(10, 2)
    order = shared.buy("ann", quantity=2, event=slug).json()
    assert_problem(shared.buy("ann", event=slug), 403, "purchase-limit")
    assert act(shared, slug, order, "cancel", "ann").status == 200
    assert shared.buy("ann", quantity=2, event=slug).status == 201


def test_sale_has_not_started(shared, event):
    later = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    slug = event(presale_start=later)
    document = assert_problem(shared.buy(event=slug), 403, "presale-not-started")
    assert document["presale_start"].startswith(later[:19])


def test_sale_has_ended(shared, event):
    slug = event(presale_end="2020-01-01T00:00:00Z")
    assert_problem(shared.buy(event=slug), 403, "sale-ended")


def test_sale_starts_by_itself(shared, event):
    soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1.2)).isoformat()
    slug = event(presale_start=soon)
    assert_problem(shared.buy(event=slug), 403, "presale-not-started")
    wait_for(lambda: shared.buy(event=slug).status == 201, "the start of the sale", 5)


def test_paused_resumed_closed(shared, event):
    slug = event()
    shared.ctl("sale", "pause", slug)
    paused = shared.buy(event=slug)
    assert_problem(paused, 503, "sale-paused")
    assert int(paused.header("Retry-After")) >= 1
    assert shared.client.get(f"/api/v1/events/{slug}").json()["state"] == "paused"
    shared.ctl("sale", "resume", slug)
    assert shared.buy(event=slug).status == 201
    shared.ctl("sale", "close", slug)
    assert_problem(shared.buy(event=slug), 403, "sale-closed")
    shared.ctl("sale", "open", slug)
    assert shared.buy(event=slug).status == 201


@pytest.mark.parametrize("path", [
    "/api/v1/events/nowhere", "/api/v1/events/nowhere/items", "/api/v1/events/nowhere/items/x",
    "/api/v1/events/nowhere/items/x/availability",
])
def test_unknown(shared, path):
    assert_problem(shared.client.get(path), 404, "not-found")


def test_unknown_event_item_order(shared, event):
    slug = event()
    document = assert_problem(shared.buy(event="nowhere"), 404, "not-found")
    assert "event" in document["detail"]
    document = assert_problem(shared.buy(event=slug, item="balcony"), 404, "not-found")
    assert "item" in document["detail"]
    for code in ("00000000", "nonsense-code", "7K3M9QXA"):
        answer = shared.client.get(order_path(slug, code), {"X-User-Id": "ann"})
        assert "order" in assert_problem(answer, 404, "not-found")["detail"]


@pytest.mark.parametrize("body, path, message", [
    ({"item": "standard", "quantity": 0}, "quantity", "must be 1 to 100"),
    ({"item": "standard", "quantity": "0"}, "quantity", "must be 1 to 100"),
    ({"item": "standard", "quantity": -1}, "quantity", "must be 1 to 100"),
    ({"quantity": 1}, "item", "is required"),
    ({}, "item", "is required"),
    (None, "item", "is required"),
])
def test_order_that_is_not_valid(shared, event, body, path, message):
    slug = event()
    answer = shared.client.post(f"/api/v1/events/{slug}/orders", body,
                                {"X-User-Id": "ann", "Idempotency-Key": uuid.uuid4().hex})
    document = assert_problem(answer, 400, "invalid-request")
    assert document["errors"] == [{"path": path, "message": message}]
    assert shared.availability(slug)["held"] == 0


@pytest.mark.parametrize("body", [{"item": "standard"}, {"item": "standard", "quantity": None}])
def test_one_ticket_where_no_quantity_is_given(shared, event, body):
    slug = event()
    answer = shared.client.post(f"/api/v1/events/{slug}/orders", body,
                                {"X-User-Id": "ann", "Idempotency-Key": uuid.uuid4().hex})
    assert answer.status == 201 and answer.json()["quantity"] == 1


def test_order_belongs_to_its_buyer(shared, event):
    slug = event()
    order = shared.buy("ann", event=slug).json()
    path = order_path(slug, order["code"])
    assert shared.client.get(path, {"X-User-Id": "ann"}).json() == order
    assert_problem(shared.client.get(path, {"X-User-Id": "bob"}), 404, "not-found")
    assert_problem(shared.client.get(path), 404, "not-found")
    assert shared.client.get(f"{path}?secret={order['secret']}").json()["code"] == order["code"]
    assert_problem(shared.client.get(f"{path}?secret=guess"), 404, "not-found")
    assert_problem(act(shared, slug, order, "confirm", "bob"), 404, "not-found")
    assert_problem(act(shared, slug, order, "cancel", "bob"), 404, "not-found")


def test_confirm(shared, event):
    slug = event()
    order = shared.buy("ann", quantity=2, event=slug).json()
    for _ in range(2):  # repeating it is harmless
        paid = act(shared, slug, order, "confirm", secret=order["secret"])
        assert paid.status == 200 and paid.json()["status"] == "paid"
        assert paid.json()["units"] == order["units"]
    assert_problem(act(shared, slug, order, "cancel", "ann"), 409, "order-paid")
    availability = shared.availability(slug)
    assert (availability["sold"], availability["held"]) == (2, 0)


def test_cancel_frees_the_units(shared, event):
    slug = event(2)
    order = shared.buy("ann", quantity=2, event=slug).json()
    for _ in range(2):
        gone = act(shared, slug, order, "cancel", "ann")
        assert gone.status == 200 and gone.json()["status"] == "canceled"
        assert gone.json()["units"] == []
    assert_problem(act(shared, slug, order, "confirm", "ann"), 409, "order-canceled")
    again = shared.buy("bob", quantity=2, event=slug)
    assert again.status == 201 and sorted(again.json()["units"]) == sorted(order["units"])


def test_order_expires(shared, event):
    slug = event(1, hold="1s")
    order = shared.buy("ann", event=slug).json()
    assert_problem(shared.buy("bob", event=slug), 409, "sold-out")
    wait_for(lambda: shared.availability(slug)["available_number"] == 1, "the hold to end", 10)
    read = shared.client.get(order_path(slug, order["code"]), {"X-User-Id": "ann"}).json()
    assert read["status"] == "expired" and read["units"] == []
    # Payment that arrives late takes the units again ...
    paid = act(shared, slug, order, "confirm", "ann")
    assert paid.status == 200 and paid.json()["status"] == "paid" and len(paid.json()["units"]) == 1
    assert_problem(shared.buy("bob", event=slug), 409, "sold-out")


def test_late_payment_without_stock(shared, event):
    slug = event(1, hold="1s")
    order = shared.buy("ann", event=slug).json()
    wait_for(lambda: shared.availability(slug)["available_number"] == 1, "the hold to end", 10)
    assert shared.buy("bob", event=slug).status == 201
    # ... unless somebody else has them.
    assert_problem(act(shared, slug, order, "confirm", "ann"), 409, "order-expired")


def test_orders_of_a_buyer(shared, event):
    slug = event(10)
    codes = [shared.buy("ann", event=slug).json()["code"] for _ in range(3)]
    shared.buy("bob", event=slug)
    page = shared.client.get(f"/api/v1/events/{slug}/orders?page_size=2", {"X-User-Id": "ann"}).json()
    assert [o["code"] for o in page["results"]] == [codes[2], codes[1]]
    rest = shared.client.get(
        f"/api/v1/events/{slug}/orders?page_size=2&page_token={page['next_page_token']}",
        {"X-User-Id": "ann"}).json()
    assert [o["code"] for o in rest["results"]] == [codes[0]] and not rest["next_page_token"]


@pytest.mark.parametrize("body, path", [
    ('{"item":"standard","quantity":101}', "quantity"),
    ('{"item":"standard","quantity":-1}', "quantity"),
    ('{"item":"standard","quantity":"two"}', "quantity"),
    ('{"item":"standard","quantity":99999999999}', "quantity"),
    ('{"item":"standard","quantity":1.5}', "quantity"),
    ('{"item":7}', "item"),
    ('{"item":"standard","seat":"A1"}', "seat"),
    ('{"item":"standard"', ""),
    ("[]", ""),
    ("", ""),
])
def test_order_that_is_not_valid(shared, event, body, path):
    slug = event()
    answer = shared.client.post(f"/api/v1/events/{slug}/orders", body, {
        "X-User-Id": "ann", "Idempotency-Key": slug, "Content-Type": "application/json"})
    if body == "":  # an empty body is an empty message: the item is missing
        assert answer.status in (400, 404), answer
        return
    document = assert_problem(answer, 400, "invalid-request")
    assert document["errors"][0]["path"] == path, document


def test_identity_and_key_are_needed(shared, event):
    slug = event()
    path = f"/api/v1/events/{slug}/orders"
    assert_problem(shared.client.post(path, {"item": "standard"}, {"Idempotency-Key": "k"}),
                   401, "identity-required")
    assert_problem(shared.client.post(path, {"item": "standard"}, {"X-User-Id": "ann"}),
                   400, "idempotency-key-missing")
    assert_problem(shared.buy("ann", "k" * 256, event=slug), 400, "idempotency-key-invalid")


def test_state_survives_a_restart(gateway):
    gateway.create_event("kept", 10, 4)
    order = gateway.buy("ann", "before", 2, "kept").json()
    paid = gateway.buy("bob", "paid", 1, "kept").json()
    assert act(gateway, "kept", paid, "confirm", "bob").status == 200
    gateway.ctl("sale", "pause", "kept")
    gateway.stop()
    gateway.start()
    assert gateway.client.get("/api/v1/events/kept").json()["state"] == "paused"
    gateway.ctl("sale", "resume", "kept")
    availability = gateway.availability("kept")
    assert (availability["held"], availability["sold"], availability["available_number"]) == (2, 1, 7)
    replay = gateway.buy("ann", "before", 2, "kept")
    assert replay.status == 201 and replay.json() == order
    assert_problem(gateway.buy("ann", "before", 1, "kept"), 422, "idempotency-key-reused")
    assert_problem(gateway.buy("ann", quantity=3, event="kept"), 403, "purchase-limit")
