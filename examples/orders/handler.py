"""Takes orders behind a load balancer, with everything a traced function usually sends: logs, spans, custom metrics.

It is instrumented the documented way: Lambda's handler is `datadog_lambda.handler.handler`, and DD_LAMBDA_HANDLER names
the function below. Nothing in here knows that it may run on a laptop.
"""

import json
import logging
import time

from datadog import DogStatsd
from datadog_lambda.metric import lambda_metric
from ddtrace import tracer

logger = logging.getLogger("orders")
logger.setLevel(logging.INFO)

statsd = DogStatsd(host="127.0.0.1", port=8125, disable_telemetry=True)

PRICES = {"apple": 0.4, "pear": 0.55, "plum": 0.25, "melon": 3.2}


class UnknownItem(Exception):
    """An order for something that is not sold here."""


class PaymentProviderDown(Exception):
    """Nobody can pay, so nobody can order."""


def handler(event, context):
    order = json.loads(event["body"])
    logger.info("order %s received with %d items", order["id"], len(order["items"]))
    try:
        total = price(order["items"])
    except UnknownItem as error:
        logger.warning("order %s refused: %s", order["id"], error)
        statsd.increment("orders.refused", tags=["reason:unknown_item"])
        return answer(422, {"order": order["id"], "error": str(error)})
    pay(order, total)
    if order.get("gift"):
        wrap(order["items"])
    lambda_metric("orders.value", total, tags=[f"currency:{order.get('currency', 'EUR')}"])
    statsd.increment("orders.accepted")
    statsd.gauge("orders.items", len(order["items"]))
    logger.info("order %s accepted, total %.2f", order["id"], total)
    return answer(201, {"order": order["id"], "total": round(total, 2)})


@tracer.wrap("orders.price")
def price(items):
    total = 0.0
    for item in items:
        if item["name"] not in PRICES:
            raise UnknownItem(f"no {item['name']} here")
        total += PRICES[item["name"]] * item["count"]
    return total


def pay(order, total):
    with tracer.trace("payment.charge", service="payments", resource=order["payment"], span_type="http") as span:
        span.set_metric("payment.total", total)
        if order["payment"] == "broken-bank":
            raise PaymentProviderDown("broken-bank does not answer")
        time.sleep(0.02)


@tracer.wrap("orders.wrap")
def wrap(items):
    for item in items:
        with tracer.trace("orders.wrap_item", resource=item["name"]):
            time.sleep(0.15)
            statsd.distribution("orders.paper_cm", 40 * item["count"])


def answer(status, body):
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}
