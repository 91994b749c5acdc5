#!/usr/bin/env python3
"""Orders at several ingresses in turn, and goes on while one of them stops. Ctrl-C ends it.

    pip install grpcio grpcio-tools
    python examples/balance.py ipv4:127.0.0.1:50051,127.0.0.1:50061
    python examples/balance.py dns:///emshop-headless.shop.svc:50051 --seconds 10

EMSHOP_TOKEN has a token of an admin, where calls need one. The last line is one JSON object; the status is 0 if no call failed.
"""

import argparse
import json
import os
import pathlib
import signal
import sys
import tempfile
import threading
import uuid

import grpc
import grpc_tools
from grpc_tools import protoc

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def load_api(folder):
    """Makes the classes of the API from its protos, as a build would."""
    protos = REPOSITORY / "proto/proto"
    files = [str(file) for file in (protos / "emshop/v1").glob("*.proto")]
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{protos}", f"-I{well_known}", f"--python_out={folder}", f"--grpc_python_out={folder}", *files]
    if protoc.main(arguments) != 0:
        sys.exit("the protos cannot be compiled")
    sys.path.insert(0, folder)


def open_channel(target):
    """A channel that has a connection to each address of the target, and takes them in turn, call by call."""
    config = json.loads((REPOSITORY / "docs/service_config.json").read_text())
    config["loadBalancingConfig"] = [{"round_robin": {}}]
    options = [
        ("grpc.service_config", json.dumps(config)),
        # An ingress that comes back is used again soon.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2000),
    ]
    if "," in target:
        # A list of addresses is no name of a server, which each request has to have.
        options.append(("grpc.default_authority", "emshop"))
    return grpc.insecure_channel(target, options)


def order(channel, pause, end):
    """Orders and reads the orders back until the end. Returns how many calls were made, and what failed."""
    from emshop.v1 import common_pb2, goods_pb2, goods_pb2_grpc, inventory_pb2, inventory_pb2_grpc, order_pb2, order_pb2_grpc, payment_pb2

    token = os.environ.get("EMSHOP_TOKEN")
    metadata = [("authorization", f"Bearer {token}")] if token else []

    def call(method, request):
        # Whatever changes something is known by a key, so that trying it again changes nothing more.
        return method(request, timeout=10, metadata=[*metadata, ("idempotency-key", uuid.uuid4().hex)], wait_for_ready=True)

    goods = goods_pb2_grpc.GoodsServiceStub(channel)
    stock = inventory_pb2_grpc.InventoryServiceStub(channel)
    orders = order_pb2_grpc.OrderServiceStub(channel)
    goods_id = uuid.uuid4().int % 2**48 + 1
    teapot = goods_pb2.Goods(goods_id=goods_id, name="Teapot", unit_price=common_pb2.Money(amount_minor=39900, currency="CNY"))
    call(goods.CreateGoods, goods_pb2.CreateGoodsRequest(goods=teapot))
    call(stock.SetStock, inventory_pb2.SetStockRequest(goods_id=goods_id, on_hand=1_000_000))

    made, failures = 0, []
    while not end.wait(pause):
        # An order is known by its id: docs/service_config.json lets the library submit it again when a connection breaks.
        order_id = f"balance-{uuid.uuid4().hex}"
        submit = order_pb2.SubmitOrderRequest(
            order_id=order_id,
            user_id=uuid.uuid4().int % 2**48 + 1,
            lines=[common_pb2.GoodsQuantity(goods_id=goods_id, quantity=1)],
            address="Shanghai",
            receiver=order_pb2.Receiver(name="Wang", phone="13800000000"),
            payment_method=payment_pb2.PAYMENT_METHOD_ALIPAY,
        )
        for method, request in [(orders.SubmitOrder, submit), (orders.GetOrder, order_pb2.GetOrderRequest(order_id=order_id))]:
            made += 1
            try:
                call(method, request)
            except grpc.RpcError as error:
                failures.append(f"{error.code().name}: {error.details()}")
    return made, failures


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("target", help="where ingresses are, as gRPC writes it")
    arguments.add_argument("--seconds", type=float, help="end after so long")
    arguments.add_argument("--pause", type=float, default=0.005, help="between two orders")
    arguments = arguments.parse_args()
    end = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: end.set())
    with tempfile.TemporaryDirectory() as folder:
        load_api(folder)
        if arguments.seconds:
            signal.signal(signal.SIGALRM, lambda *_: end.set())
            signal.setitimer(signal.ITIMER_REAL, arguments.seconds)
        with open_channel(arguments.target) as channel:
            made, failures = order(channel, arguments.pause, end)
    print(json.dumps({"calls": made, "failed": len(failures), "first_failures": failures[:5]}))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
