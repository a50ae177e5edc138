"""A client of raw frames that watches one node's data over any number of connections, as Java's client
does, and holds every event against the contract of one-time watches."""

import struct
import threading
import time

from clients import Raw, string

GET_DATA, SET_WATCHES, CLOSE = 4, 101, -11
EVENT, SET_WATCHES_XID = -1, -8
DATA_CHANGED = 3
# Between two looks without a watch.
LOOK_S = 0.05


class Broken(Exception):
    """The connection ended; another server must do."""


class Watcher(threading.Thread):
    """Reads a number that only grows, with a watch, and again at each event. The number is changed by
    others."""

    def __init__(self, ports: list[int], path: str, timeout_s: float):
        super().__init__(daemon=True)
        self.ports, self.path, self.timeout_s = ports, path, timeout_s
        self.over = threading.Event()
        self.session, self.password, self.last_zxid = 0, bytes(16), 0
        # The number that was read with the watch that is set; None without one.
        self.armed: int | None = None
        # The newest number, and the one that the last event replaced.
        self.value, self.replaced = -1, -1
        self.fired = self.caught_up = self.connections = 0
        self.error: Exception | None = None
        self.xid = 0

    def run(self) -> None:
        try:
            turn = 0
            while not self.over.is_set():
                try:
                    self.connect(self.ports[turn % len(self.ports)])
                except (Broken, OSError):
                    time.sleep(0.05)
                turn += 1
        except Exception as error:
            self.error = error

    def connect(self, port: int) -> None:
        with Raw(port, timeout=self.timeout_s / 3) as raw:
            answer = raw.connect(self.session, self.password, int(self.timeout_s * 1000), self.last_zxid)
            if answer is None:
                raise Broken
            timeout, session, password = answer
            assert timeout > 0, f"session 0x{self.session:x} has expired"
            assert self.session in (0, session), "another session was given"
            self.session, self.password = session, password
            self.connections += 1
            if self.armed is not None:
                raw.send(struct.pack(">iiqi", SET_WATCHES_XID, SET_WATCHES, self.last_zxid, 1)
                         + string(self.path) + struct.pack(">ii", 0, 0))
            while not self.over.is_set():
                if self.armed is None:
                    self.read(raw, watch=True)
                else:
                    self.read(raw, watch=False)
                    time.sleep(LOOK_S)
            raw.send(struct.pack(">ii", self.xid + 1, CLOSE))
            while raw.receive() is not None:
                pass

    def read(self, raw: Raw, watch: bool) -> None:
        self.xid += 1
        was_armed = self.armed
        raw.send(struct.pack(">ii", self.xid, GET_DATA) + string(self.path) + bytes([watch]))
        while True:
            frame = raw.receive()
            if frame is None:
                raise Broken
            xid, zxid, error = struct.unpack_from(">iqi", frame)
            if xid == EVENT:
                self.on_event(frame[16:], zxid)
                continue
            if zxid > 0:
                self.last_zxid = max(self.last_zxid, zxid)
            if xid == SET_WATCHES_XID:
                assert error == 0, f"setWatches answered {error}"
                continue
            assert (xid, error) == (self.xid, 0), f"reply {xid} with error {error}, expected {self.xid}"
            [length] = struct.unpack_from(">i", frame, 16)
            self.on_value(int(frame[20:20 + length]), watch, was_armed)
            return

    def on_event(self, body: bytes, zxid: int) -> None:
        kind, _, length = struct.unpack_from(">iii", body)
        path = body[12:12 + length].decode()
        assert (kind, path) == (DATA_CHANGED, self.path), f"event {kind} for {path}"
        assert self.armed is not None, f"an event for {path}, where no watch was set"
        self.replaced, self.armed = self.armed, None
        self.fired += 1
        self.caught_up += zxid == -1

    def on_value(self, value: int, watch: bool, was_armed: int | None) -> None:
        assert value >= self.value, f"{self.path} went back from {self.value} to {value}"
        self.value = value
        if watch:
            assert value > self.replaced, f"an event, but {self.path} is {value} as before"
            self.armed = value
        elif self.armed is not None:
            assert value == was_armed, f"{value} was seen before the event that ends {was_armed}"
