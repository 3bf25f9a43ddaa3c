"""Mutants that change nothing that is promised, each with the reason."""

from __future__ import annotations

#: What is done for those who wait.
_NOBODY_WAITS = "nothing happens where nobody waits: the condition only saves a call"
#: What the type checker wants, and what never happens.
_NARROWS = "it only tells the type checker what is always so"
#: Of the gate's waiters, one calls back what nobody works with.
_ONE_LOOKS = "whoever looks calls back what is ripe, and one who looks is enough"
_NO_AGE = "who has waited for no time is not too old, nor has it waited before"
_PASSED = "what was closed or has passed its health check, closes nothing any more"
_UP = "the clock says 1 s when the machine has been up for that long"

EQUIVALENT: dict[str, str] = {
    "pooled_db/__main__.py _project: 0 -> 1": (
        "python -m has put the current directory first already"
    ),
    "pooled_db/__main__.py _project: sys.path.insert(0, os.getcwd()) -> pass": (
        "python -m has put the current directory first already"
    ),
    "pooled_db/asgi.py Door.__call__: self.admission.age_header -> True": (
        "age() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/asgi.py Door.__call__: True -> False": "it counts that it is there",
    "pooled_db/asgi.py Door._pools_for: () -> None": "there is no pool in either",
    'pooled_db/dashboard/access.py _of_session: , algorithm="sha256" -> nothing': (
        "nobody can make either digest without the site's secret key"
    ),
    "pooled_db/dashboard/snapshot.py _loan: 0.0 -> 1.0": _NARROWS,
    "pooled_db/backends/mysql/transaction.py TransactionMixin.in_atomic_block: "
    "self._in_atomic_block -> True": (
        "what is another request's is given up at the next look in any case"
    ),
    "pooled_db/backends/mysql/usability.py "
    "JudgedMixin.close_if_unusable_or_obsolete: self.connection is None -> False": (
        "Django looks at it, too: the condition only saves a call"
    ),
    "pooled_db/backends/mysql/usability.py JudgedMixin: False -> True": (
        "who has connected has passed its health check, and the next look sets it"
    ),
    "pooled_db/backends/mysql/usability.py "
    "JudgedMixin.close_if_unusable_or_obsolete: return -> pass": (
        "Django looks at it, too: the condition only saves a call"
    ),
    "pooled_db/backends/mysql/usability.py "
    "JudgedMixin.close_if_unusable_or_obsolete: self._closes_unusable = False -> "
    "pass": _PASSED,
    "pooled_db/backends/mysql/usability.py "
    "JudgedMixin.close_if_health_check_failed: False -> True": _PASSED,
    "pooled_db/backends/mysql/usability.py JudgedMixin.close_if_health_check_failed: "
    "self._closes_unusable = False -> pass": _PASSED,
    "pooled_db/driver/addresses.py <module>: 30 -> 31": (
        "the longest pause has come long before"
    ),
    "pooled_db/driver/addresses.py Addresses.__init__: 16 -> 17": (
        "it begins at any of the addresses"
    ),
    "pooled_db/driver/addresses.py Addresses.__init__: 1 -> 2": (
        "it begins at any of the addresses"
    ),
    "pooled_db/driver/addresses.py Addresses.addresses_of: 0.0 -> 1.0": _UP,
    "pooled_db/driver/connection.py Connection._look_at: not self.is_dirty -> True": (
        "_make_dirty() looks at it, too: the condition only saves reading a statement"
    ),
    "pooled_db/driver/connection.py Connection.lent_for: self.converts_otherwise or "
    "self.encoders is not as_opened.encoders or getattr(self, DECODERS) is not "
    "as_opened.decoders -> True": "it puts the same in its place",
    "pooled_db/driver/connection.py Connection.__init__: self.is_opened() -> pass": (
        "the pool notes it once more, when all of the opening is done"
    ),
    "pooled_db/driver/connection.py Connection.__init__: 0.0 -> 1.0": (
        "it is fresh when it is first lent, and given back when it is lent again"
    ),
    "pooled_db/driver/connection.py Connection.__init__: 0 -> 1": (
        "its pool notes which thread has opened it"
    ),
    "pooled_db/driver/connection.py Connection._refuse_to_lie: 0 -> 1": (
        "no server has either number"
    ),
    "pooled_db/driver/errors.py mark_tried_everywhere: True -> False": (
        "it counts that it is there"
    ),
    "pooled_db/driver/guarded.py GuardedConnection.query: self._unread -> False": (
        "_rest() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/driver/cursor.py _in_turn.method: not is_pinned -> True": (
        "whoever has pinned it has its turn already: the condition only saves a call"
    ),
    "pooled_db/driver/cursor.py _in_turn.method: loan.line -> True": (
        "unpin() looks whether somebody is in line: the condition only saves a call"
    ),
    "pooled_db/driver/guarded.py <module>: 1000 -> 1001": "tuned, and not promised",
    "pooled_db/driver/guarded.py <module>: 8 -> 9": "tuned, and not promised",
    "pooled_db/driver/guarded.py GuardedConnection.cursor: >= -> >": (
        "the number is tuned, and not promised"
    ),
    "pooled_db/driver/guarded.py GuardedConnection.cursor: len(cursors) >= "
    "MOST_CURSORS -> True": "it forgets them sooner: the condition only saves that",
    "pooled_db/driver/guarded.py GuardedConnection: False -> True": (
        "it is set when the driver has set the session up"
    ),
    "pooled_db/driver/guarded.py GuardedConnection._judge: 0 -> 1": (
        "no server refuses a statement of either size"
    ),
    "pooled_db/driver/guarded.py GuardedConnection.store_result: "
    "self._reader != thread -> True": (
        "_begin_reading() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/driver/guarded.py GuardedConnection.__init__: 0.0 -> 1.0": (
        "the driver makes statements of its own while it opens a connection"
    ),
    "pooled_db/driver/guarded.py GuardedConnection.next_result: self._unread -> True": (
        "_has_answer() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/driver/guarded.py GuardedConnection.was_left_unread: self._unread -> "
    "True": "is_being_read looks at it, too: the condition only saves a call",
    "pooled_db/driver/guarded.py GuardedConnection._has_answer: self._unread -> None": (
        "each connection that is opened can tell more exactly"
    ),
    "pooled_db/driver/guarded.py GuardedConnection.query: options -> True": (
        "without any it calls the same"
    ),
    "pooled_db/driver/last_statement.py LastStatement.asks_for_lost: "
    "_may_ask(statement) -> True": "it is the same, told by reading all of it",
    "pooled_db/driver/packets.py <module>: 2 -> 3": "tuned, and not promised",
    "pooled_db/driver/packets.py _limit: connection.close() -> pass": (
        "the driver closes what nobody refers to any more"
    ),
    "pooled_db/driver/readable.py Readable.__init__: _poll is not None -> False": (
        "Python's own tells the same, and takes longer"
    ),
    "pooled_db/driver/statements.py _after_blanks: True -> False": (
        "no comment knows escapes"
    ),
    "pooled_db/driver/statements.py <module>: 1 -> 2": (
        "a mark that is no position, and sizes that are tuned"
    ),
    "pooled_db/driver/statements.py <module>: 9 -> 10": "tuned, and not promised",
    "pooled_db/driver/statements.py <module>: 14 -> 15": "tuned, and not promised",
    "pooled_db/driver/statements.py _after_lock: 0 -> 1": (
        "no statement that may be harmless begins with such a name"
    ),
    "pooled_db/driver/statements.py _after_string: not (statement.startswith(b\"''\", "
    'end) or statement.count(b"\\\\", position, end)) -> '
    "False": "the closer look finds the same end, and takes longer",
    "pooled_db/driver/statements.py _after_string: > -> >=": (
        "it is there that the end is found again"
    ),
    "pooled_db/driver/statements.py _after_string: 2 -> 3": "tuned, and not promised",
    "pooled_db/driver/reset.py _is_current: now is not None -> True": (
        "what nobody's credentials are is an error, and so no answer either"
    ),
    "pooled_db/driver/reset.py let_in: account is not None -> True": (
        "no set of accounts has None in it"
    ),
    "pooled_db/driver/use.py <module>: 0 -> 1": "no thread has either number",
    "pooled_db/middleware.py PooledConnectionMiddleware.__call__: False -> True": (
        "what does not say whether it is streaming is looked at, and left as it is"
    ),
    "pooled_db/model_checks.py <module>: False -> True": (
        "no check of models looks at it"
    ),
    "pooled_db/pool/cleaning.py Cleaning.cleans: connection.is_clean -> False": (
        "it is the same, told with more calls"
    ),
    "pooled_db/pool/cleaning.py Cleaning.cleans: self._spares_unchanged and "
    "connection.is_at_rest -> False": "it is the same, told with more calls",
    "pooled_db/pool/cleaning.py Cleaning.cleans: connection.is_clean or "
    "(self._spares_unchanged and connection.is_at_rest) -> False": (
        "it is the same, told with more calls"
    ),
    "pooled_db/pool/ended.py mark: 0 -> 1": "no file has either number",
    "pooled_db/pool/ended.py mark: 0, 0 -> None": "no file has either",
    "pooled_db/pool/ended.py mark: 0, -> nothing": "no file has either",
    "pooled_db/pool/ended.py mark: , 0 -> nothing": "no file has either",
    "pooled_db/pool/destination.py Destination.place: 16 -> 17": (
        "it is only compared with others, and any 64 bits will do"
    ),
    "pooled_db/pool/connector.py Connector._connect_new: connection.destination = "
    "loan.destination -> pass": "it is the same, told by comparing all",
    "pooled_db/pool/connector.py Connector._connect_new: connection.destination == "
    "loan.destination -> False": "it is the same, told by comparing all",
    "pooled_db/pool/connector.py Connector.is_fit: connection.destination is not "
    "loan.destination -> True": "it is the same, told by comparing all",
    "pooled_db/pool/destination.py Destination.__eq__: self is other -> False": (
        "it is the same, told by comparing all"
    ),
    "pooled_db/pool/entrance.py Entrance.admit: age -> True": _NO_AGE,
    "pooled_db/pool/entrance.py Entrance.admit_async: age -> True": _NO_AGE,
    "pooled_db/pool/entrance.py Entrance.lent: isinstance(permit, Loan) -> True": (
        _NARROWS
    ),
    "pooled_db/pool/ended.py _write_base: 6 -> 7": "it is a name that nobody has",
    "pooled_db/pool/ended.py fold: > -> >=": "the clock never shows the very moment",
    "pooled_db/pool/ended.py together: is_time -> True": (
        "how often something was is a whole number of millionths, too"
    ),
    "pooled_db/pool/host.py ProcessPool.loans: 0.0 -> 1.0": _NARROWS,
    "pooled_db/pool/gate.py Gate.__init__: 1.0 -> 2.0": "its pool gives it to each",
    "pooled_db/pool/gate.py Gate._serve: continue -> break": (
        "release() looks again whether somebody waits beside a free permit"
    ),
    "pooled_db/pool/gate.py Gate.enter: shedding.slow_since is not None -> True": (
        "served_at_once() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/pool/gate.py Gate.enter: at_once -> False": (
        "of two, each test sees the first, and the second only saves looks at the state"
    ),
    "pooled_db/pool/gate.py Gate.enter: self.returned -> True": (
        "settle() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/pool/gate.py Gate.review: permit is self._watcher -> True": _ONE_LOOKS,
    "pooled_db/pool/gate.py Gate._lacks_watcher: lacks -> True": _ONE_LOOKS,
    "pooled_db/pool/gate.py Gate.release: back.state is WAITING -> True": (
        "who does not wait stands in no line: the condition only saves calls"
    ),
    "pooled_db/pool/gate.py Gate.release: self._begun or self._newcomers or "
    "self._prior -> True": _NOBODY_WAITS,
    "pooled_db/pool/gate.py Gate._call_back: not called -> True": (
        "who gets what has been called back waits for nobody: it only saves a look"
    ),
    "pooled_db/pool/gate.py Gate.release: self._answered -> True": (
        "wake_all() wakes nobody then: the condition only saves a call"
    ),
    "pooled_db/pool/lane.py Lane.served: self.remove(permit) -> pass": (
        "the gate takes it out of every line afterwards"
    ),
    "pooled_db/pool/idle.py Idle.get: True -> False": "nobody waits in any case",
    "pooled_db/pool/idle.py Idle.put: True -> False": "nobody waits in any case",
    "pooled_db/pool/numbers.py Numbers.were_lent: > -> >=": (
        "it writes what is there already"
    ),
    "pooled_db/pool/lane.py Lane.served: oldest is None -> False": _NARROWS,
    "pooled_db/pool/lane.py Lane.served: 0.0 -> 1.0": _NARROWS,
    "pooled_db/pool/lane.py Lane._first_line: self._new -> True": _NARROWS,
    "pooled_db/pool/nodes.py Nodes._open: isinstance(error, "
    "MySQLdb.OperationalError) -> True": _NARROWS,
    "pooled_db/pool/nodes.py Nodes._examine: 0.0 -> 1.0": (
        "the clock says 1 s when the machine has been up for that long"
    ),
    "pooled_db/pool/on_call.py OnCall.call_back: break -> continue": (
        "it goes through the others, and takes none of them"
    ),
    "pooled_db/pool/on_call.py OnCall.call_back: > -> >=": (
        "the clock never shows the very moment"
    ),
    "pooled_db/pool/on_call.py _look_at: <= -> <": (
        "the clock never shows the very moment"
    ),
    "pooled_db/pool/overdue.py <module>: 0.1 -> 0.2": "tuned, and not promised",
    "pooled_db/pool/overdue.py <module>: 0.25 -> 0.5": "tuned, and not promised",
    "pooled_db/pool/overdue.py Overdue.pass_by: < -> <=": (
        "the clock never shows the very moment"
    ),
    "pooled_db/pool/gate.py Gate.release: self.returned -> True": (
        "settle() looks at it, too: the condition only saves a call"
    ),
    'pooled_db/pool/share.py Share.__init__: self._most_at = float("-inf") -> pass': (
        "the first look sets it before it is read"
    ),
    "pooled_db/pool/share.py Share.__init__: 0 -> 1": (
        "who has none has none to give back"
    ),
    "pooled_db/pool/share.py Share.look: 4 -> 5": "tuned, and not promised",
    "pooled_db/pool/share.py Share.look: 1 -> 2": "who has one looks as seldom",
    "pooled_db/pool/share.py Share._others_are_unseen: > -> >=": (
        "the clock never shows the very moment"
    ),
    "pooled_db/pool/siblings.py _File.sibling: < -> <=": (
        "the clock never shows the very moment"
    ),
    "pooled_db/pool/siblings.py _File.is_alive: "
    "fcntl.flock(self._descriptor, fcntl.LOCK_UN) -> pass": (
        "what has ended is closed then, and others lock it as it does"
    ),
    "pooled_db/pool/sharing.py Shared.discard: raise NotImplementedError -> pass": (
        "loans have their own"
    ),
    "pooled_db/pool/sharing.py Shared._after_rest: connection is not None -> True": (
        _NARROWS
    ),
    "pooled_db/pool/sharing.py Shared._after_rest: self.line -> True": _NOBODY_WAITS,
    "pooled_db/pool/sharing.py Shared.lend: self.state is READY and borrower is not "
    "None and not self.line -> False": "it is the same, told with a call more",
    "pooled_db/pool/sharing.py Shared._lend: connection is None -> False": _NARROWS,
    "pooled_db/pool/sharing.py Shared._lend: self.line -> True": _NOBODY_WAITS,
    "pooled_db/pool/sharing.py Shared.unpin: self.line -> True": _NOBODY_WAITS,
    "pooled_db/pool/sharing.py Shared.lend: gate.returned -> True": (
        "settle() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/pool/queue.py Queue.at_a_glance: not newcomers or self.begun or "
    "self.prior -> True": "it is the same, told with three calls more",
    "pooled_db/pool/queue.py Queue.at_a_glance: shedding.slow_since is not None or "
    "now - oldest > shedding.target -> True": (
        "overloaded() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/pool/queue.py Queue.at_a_glance: - -> +": (
        "overloaded() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/pool/queue.py Queue.at_a_glance: > -> >=": (
        "overloaded() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/pool/queue.py Queue.turns_away: full or crowded -> True": (
        "nobody goes unless it is either: the condition only saves a call"
    ),
    "pooled_db/pool/queue.py Queue.remove: permit in lane.order -> True": (
        "who does not stand in a lane leaves nothing there: the condition only saves "
        "a call"
    ),
    "pooled_db/pool/limit.py <module>: 0.05 -> 0.1": "tuned, and not promised",
    "pooled_db/pool/limit.py Limit.__init__: self._pause = 0.0 -> pass": (
        "failed() sets the pause before anybody reads it"
    ),
    "pooled_db/pool/limit.py Limit.__init__: self._successes = 0 -> pass": (
        "failed() sets it before anybody reads it"
    ),
    "pooled_db/pool/limit.py Limit.__init__: 0 -> 1": (
        "failed() sets it before anybody reads it"
    ),
    "pooled_db/pool/limit.py Limit.__init__: 0.0 -> 1.0": (
        "failed() sets the pause before anybody reads it"
    ),
    "pooled_db/pool/outage.py <module>: 30 -> 31": (
        "the pauses have long ceased to grow"
    ),
    "pooled_db/pool/outage.py Outage._failed: < -> <=": (
        "the clock never shows the very moment"
    ),
    "pooled_db/pool/outage.py Outage._learnt: error is None -> False": (
        "it returns None one way or the other"
    ),
    "pooled_db/pool/overdue.py Overdue.__init__: 0.0 -> 1.0": _UP,
    "pooled_db/pool/state_file.py create: 6 -> 7": "it is a name that nobody has",
    "pooled_db/pool/store.py <module>: 100_000 -> 100001": "tuned, and not promised",
    "pooled_db/pool/store.py Store._put_back_an_empty_slot: True -> False": (
        "it lets other threads go on before it looks again"
    ),
    "pooled_db/pool/store.py _close_at_return: connection is not None -> True": (
        "SQLAlchemy looks at it, too: the condition only saves a call"
    ),
    "pooled_db/pool/store.py Store.park_idle: slot.is_valid -> False": (
        "nobody refers to it any more: it goes back, and is closed then"
    ),
    "pooled_db/pool/store.py Store.park_idle: slot.invalidate() -> pass": (
        "nobody refers to it any more: it goes back, and is closed then"
    ),
    "pooled_db/pool/store.py Store.park_idle: return -> pass": (
        "a queue that was replaced has nothing more: it only saves a look"
    ),
    "pooled_db/pool/store.py Store._replace: parked -> ()": (
        "nobody refers to them any more: they go back, and are closed then"
    ),
    "pooled_db/pool/store.py Store._replace: slot.invalidate() -> pass": (
        "nobody refers to them any more: they go back, and are closed then"
    ),
    "pooled_db/pool/thread_waiting.py ThreadWaiting.__init__: self._bell.acquire() -> "
    "pass": "it looks at the state twice before it waits",
    "pooled_db/pool/thread_waiting.py ThreadWaiting.until_answered: <= -> <": (
        "to wait for no time is not to wait"
    ),
    "pooled_db/pool/thread_waiting.py ThreadWaiting.until_answered: not -> nothing": (
        "a wait that has timed out is followed by a pause of 0, and a review"
    ),
    "pooled_db/pool/numbers.py Numbers.lent: waited -> True": (
        "who has not waited adds nothing, in the first bucket: it only saves a call"
    ),
    "pooled_db/pool/outage.py Outage.__init__: self._since = 0.0 -> pass": (
        "a failure sets the times before anybody reads them"
    ),
    "pooled_db/pool/outage.py Outage.__init__: self._next = 0.0 -> pass": (
        "a failure sets the times before anybody reads them"
    ),
    "pooled_db/pool/outage.py Outage.__init__: 0.0 -> 1.0": (
        "a failure sets the times before anybody reads them"
    ),
    "pooled_db/pool/loan.py Loan.checkin: self.line -> True": _NOBODY_WAITS,
    "pooled_db/pool/permit.py wake_all: return -> pass": "there is nothing after it",
    "pooled_db/pool/shedding.py Shedding.overloaded: < -> <=": (
        "the clock never shows the very moment"
    ),
    "pooled_db/pool/shedding.py Shedding._refuses: + -> -": (
        "it stands by then, and the sooner it became slow, the more so"
    ),
    "pooled_db/pool/shedding.py Shedding._refuses: oldest is not None -> True": (
        _NARROWS
    ),
    "pooled_db/pool/stall.py _is_closed: not isinstance(held, Loan) -> False": _NARROWS,
    "pooled_db/pool/stall.py _count_strangers: >= -> >": (
        "the clock never shows the very moment"
    ),
    "pooled_db/pool/permit.py Refused.__init__: super().__init__(reason, waited) -> "
    "pass": "an exception is made with its arguments already",
    "pooled_db/pool/pool.py Pool.__init__: 10 -> 11": "pools.py gives it to each",
    "pooled_db/pool/pool.py Pool.__init__: 1800.0 -> 3600.0": (
        "pools.py gives it to each"
    ),
    "pooled_db/pool/pool.py Pool.__init__: 5.0 -> 10.0": "pools.py gives it to each",
    "pooled_db/pool/pool.py Pool.__init__: True -> False": "pools.py gives it to each",
    "pooled_db/pool/pool.py Pool.__init__: 0.0 -> 1.0": "pools.py gives it to each",
    "pooled_db/pool/pool.py Pool.__init__: False -> True": "pools.py gives it to each",
    "pooled_db/pool/pool.py Pool.take: self.gate.returned -> True": (
        "settle() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/pool/pool.py Pool.check_in: connection is not None -> True": _NARROWS,
    "pooled_db/pool/pool.py Pool.check_in: fairy is not None -> True": _NARROWS,
    "pooled_db/pool/pool.py Pool.drop: fairy is not None -> True": _NARROWS,
    "pooled_db/pool/pool.py Pool.take: > -> >=": (
        "were_lent() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/pool/pool.py Pool.take: self.gate.count() > numbers.words[PEAK] -> "
    "True": "were_lent() looks at it, too: the condition only saves a call",
    "pooled_db/pool/pool.py Pool._wait_for_others: >= -> >": (
        "the clock never shows the very moment"
    ),
    "pooled_db/pool/pool.py Pool.check_in: loan.requester is None -> True": (
        "a request's is not among them: the condition only saves a call"
    ),
    "pooled_db/pool/waiting.py Waiting.acquire_async: return -> pass": (
        "who waits no more is not waited for: it only saves that look"
    ),
    "pooled_db/pool/shedding.py <module>: 0.0625 -> 0.125": "tuned, and not promised",
    "pooled_db/pool/shedding.py Shedding.served_at_once: self.slow_since is not None "
    "-> True": "what is not slow ends no overload: the condition only saves a call",
    'pooled_db/pool/upkeep.py Upkeep.watch: , name="pooled_db upkeep" -> nothing': (
        "what a thread is called is not promised"
    ),
    "pooled_db/pool/upkeep.py Upkeep.watch: < -> <=": (
        "it writes what is there already"
    ),
    "pooled_db/pool/turnover.py Turnover.end_of: >= -> >": (
        "the clock never shows the very moment"
    ),
    "pooled_db/request/accept.py _Preference: 1 -> 2": "nothing that is said is less",
    "pooled_db/request/accept.py _Preference: 1.0 -> 2.0": (
        "nothing that is said is less"
    ),
    "pooled_db/request/accept.py _quality: < -> <=": "0 is what nonsense counts as",
    "pooled_db/pools.py _settings_changed: setting == conf.MIDDLEWARE_SETTINGS -> "
    "True": "it reads again what has not changed",
    "pooled_db/request/accept.py <module>: 2 -> 3": (
        "it is compared with itself, and with less"
    ),
    "pooled_db/request/admission.py Admission.age: header -> True": (
        "nobody asks it where no header is set"
    ),
    "pooled_db/request/admission.py Admission.age: 0.0 -> 1.0": (
        "nobody asks it where no header is set"
    ),
    "pooled_db/request/age.py <module>: 1e14 -> 200000000000000.0": (
        "in either unit what lies between is long past, or far ahead"
    ),
    "pooled_db/request/age.py <module>: 1e11 -> 200000000000.0": (
        "in either unit what lies between is long past, or far ahead"
    ),
    "pooled_db/request/age.py <module>: 1e8 -> 200000000.0": (
        "in either unit what lies between is long past, or far ahead"
    ),
    "pooled_db/request/current.py current_scope: _early -> True": (
        "_early_scope() looks there, too: the condition only saves a call"
    ),
    "pooled_db/request/current.py is_of_current_request: _early -> True": (
        "_early_scope() looks there, too: the condition only saves a call"
    ),
    "pooled_db/request/current.py scope_of_asgi_request: scope is not None -> False": (
        "a second one is not kept: the condition only saves it"
    ),
    "pooled_db/request/diagnosis.py <module>: 1 -> 2": "no error has that number",
    "pooled_db/request/age.py age_of: >= -> >": (
        "in either unit that moment is long past, or far ahead"
    ),
    "pooled_db/request/age.py age_of: < -> <=": "it is 0 either way",
    "pooled_db/request/identity.py Identity.has_priority: settings.priority -> True": (
        "no path is among none: the condition only saves a call"
    ),
    "pooled_db/request/identity.py Identity.label: request.resolver_match is not None "
    "-> True": _NARROWS,
    "pooled_db/request/pace.py <module>: 1.0 -> 2.0": "tuned, and not promised",
    "pooled_db/request/traffic.py <module>: 0.04 -> 0.08": "tuned, and not promised",
    "pooled_db/request/pace.py Pace.__init__: 0 -> 1": (
        "refusals count from where they begin, and one is below any capacity"
    ),
    "pooled_db/request/pace.py Pace.__init__: self._beat_at = 0.0 -> pass": (
        "hold() sets it before there is a beat"
    ),
    "pooled_db/request/pace.py Pace._is_low: < -> <=": (
        "it lets as many go as there are permits, one waiter sooner"
    ),
    "pooled_db/request/pace.py Pace._look_after: <= -> <": (
        "the clock never shows the very moment"
    ),
    "pooled_db/request/pace.py Pace.__init__: 0.0 -> 1.0": (
        "hold() sets the times before there is a beat, and no clock shows less than 1 s"
    ),
    "pooled_db/request/pace.py Pace.__init__: self._latest = 0.0 -> pass": (
        "hold() sets it before there is a beat"
    ),
    "pooled_db/request/pace.py Pace.__init__: self._to_let_in = 0 -> pass": (
        "the first beat sets it: nobody is held back before a pause"
    ),
    "pooled_db/request/pace.py Pace._turn: > -> >=": (
        "the clock never shows the very moment"
    ),
    "pooled_db/request/pace.py Pace._is_behind: < -> <=": (
        "the clock never shows the very moment"
    ),
    "pooled_db/request/pace.py Pace._let_in: 0 -> 1": "no pool has a smaller capacity",
    "pooled_db/request/pace.py Pace._let_listen: < -> <=": (
        "the clock never shows the very moment"
    ),
    "pooled_db/request/pace.py Pace._look: 1.0 -> 2.0": "tuned, and not promised",
    "pooled_db/request/patience.py Patience._adapt: >= -> >": (
        "the clock never shows the very moment"
    ),
    "pooled_db/request/patience.py Patience._fails: 10 -> 11": (
        "after so many the longest time has come in any case"
    ),
    "pooled_db/request/patience.py Patience._fails: > -> >=": (
        "no time to hold back is at the very bound"
    ),
    "pooled_db/request/patience.py Patience._judge_pause: < -> <=": (
        "the clock never shows the very moment"
    ),
    "pooled_db/request/patience.py Patience._judge_pause: <= -> <": (
        "neither the clock nor a rate is at the very bound"
    ),
    "pooled_db/request/patience.py Patience._judge_pause: > -> >=": (
        "no loop is late by the very bound"
    ),
    "pooled_db/request/patience.py Patience._pause: > -> >=": (
        "the clock never shows the very moment"
    ),
    "pooled_db/request/patience.py Patience._pause: >= -> >": (
        "no rate is at the very bound"
    ),
    "pooled_db/request/patience.py Patience.end: 0.0 -> 1.0": (
        "the clock says 1 s when the machine has been up for that long"
    ),
    "pooled_db/request/patience.py Patience.look: >= -> >": (
        "the clock never shows the very moment"
    ),
    "pooled_db/request/patience.py Patience.look: > -> >=": (
        "no loop is late by the very bound"
    ),
    "pooled_db/request/language.py <module>: 500 -> 501": "tuned, and not promised",
    "pooled_db/request/language.py language_of: settings.LANGUAGE_COOKIE_NAME in "
    "cookies -> True": "it is the same, told by parsing all of them",
    "pooled_db/request/pace.py Pace.__init__: 4.0 -> 8.0": "tuned, and not promised",
    "pooled_db/model_checks.py <module>: True -> False": (
        "no check of models looks at it"
    ),
    "pooled_db/opentelemetry.py _spread: 0.0 -> 1.0": (
        "no time lies in a bucket without room, or in the last if nothing is in it"
    ),
    "pooled_db/watching/load.py _out: 0.0 -> 1.0": _NARROWS,
    "pooled_db/watching/load.py measure: >= -> >": (
        "the clock never shows the very moment"
    ),
    "pooled_db/state.py <module>: 4 -> 5": "tuned, and not promised",
    "pooled_db/state.py <module>: 10_000 -> 10001": "tuned, and not promised",
    "pooled_db/state.py siblings_of: path is None -> False": _NARROWS,
    "pooled_db/state.py default_directory: 16 -> 17": (
        "nobody is promised the name of that directory"
    ),
    "pooled_db/watching/server_view.py Busy.close: connection is not None -> False": (
        "the driver closes what nobody refers to any more"
    ),
    "pooled_db/request/responses.py _html: settings.LANGUAGE_CODE -> False": _NARROWS,
    "pooled_db/request/scope.py Scope._keep: before is not None -> True": (
        "_set_aside() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/request/scope.py Scope.__del__: some -> True": (
        "there is nothing to go through: the condition only saves a call"
    ),
    "pooled_db/request/scope.py Scope.admit: not self._loans -> False": (
        "_shared() looks there, too: the condition only saves a call"
    ),
    "pooled_db/request/scope.py Scope.admit: self.was_admitted -> True": (
        "_new_loan() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/request/scope.py Scope._lend: shared.state is ADMITTED -> True": (
        "take() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/request/scope.py Scope._lend: replaced is not None -> True": (
        "nothing is taken out where nothing is: the condition only saves calls"
    ),
    "pooled_db/request/scope.py Scope.admit_async: not self._loans -> False": (
        "_shared() looks there, too: the condition only saves a call"
    ),
    "pooled_db/request/scope.py Scope.admit_async: self.was_admitted -> True": (
        "_new_loan() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/watching/tables.py _table: break -> continue": (
        "what fits once goes on fitting, and nothing more is left out"
    ),
    "pooled_db/wsgi.py _close_what_is_left: outsiders -> True": (
        "Django has done the same for others: the condition only saves a call"
    ),
    "pooled_db/wsgi.py Door.__call__: admission.age_header -> True": (
        "age() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/wsgi.py Door.__call__: outsiders -> True": (
        "Django does the same for others: the condition only saves a call"
    ),
    "pooled_db/wsgi.py Door.__call__: True -> False": "it counts that it is there",
    "pooled_db/backends/mysql/base.py PooledMixin.connect: "
    "self._in_atomic_block and self.closed_in_transaction and "
    "self.is_pooled -> False": ("Django says so itself since 5.1, before it connects"),
    "pooled_db/backends/mysql/base.py PooledMixin.connect: raise "
    'ProgrammingError("Cannot open a new connection in an atomic block.") '
    "-> pass": ("Django says so itself since 5.1, before it connects"),
    "pooled_db/backends/mysql/base.py PooledMixin._connect_warm: "
    "connection_created.receivers -> True": (
        "nobody is told: the condition only saves a call"
    ),
    "pooled_db/backends/mysql/base.py PooledMixin._connect_warm: "
    "connection.get_autocommit() == autocommit -> False": (
        "it is the same, told with more calls"
    ),
    "pooled_db/backends/mysql/base.py PooledMixin._borrow: "
    "loan.connection is not None -> True": _NARROWS,
    "pooled_db/backends/mysql/base.py PooledMixin.init_connection_state: "
    "self._loan.connection is None -> False": _NARROWS,
    "pooled_db/backends/mysql/base.py PooledMixin._pin: thread in loan.pins -> "
    "False": "while it connects it has its loan, and looks once more",
    "pooled_db/backends/mysql/base.py PooledMixin.create_cursor: "
    "loan.connection is not None -> True": _NARROWS,
    "pooled_db/backends/mysql/base.py PooledMixin._set_autocommit: loan.line -> True": (
        _NOBODY_WAITS
    ),
    "pooled_db/backends/mysql/transaction.py "
    "TransactionMixin.atomic_blocks: self._in_atomic_block -> True": (
        "what is another request's is given up at the next look in any case"
    ),
    "pooled_db/backends/mysql/usability.py "
    "JudgedMixin.close_if_health_check_failed: return -> pass": (
        "Django looks at it, too: the condition only saves a call"
    ),
    "pooled_db/backends/mysql/usability.py "
    "JudgedMixin.close_if_health_check_failed: not "
    "self.health_check_enabled -> False": (
        "Django looks at it, too: the condition only saves a call"
    ),
    "pooled_db/conf/__init__.py _pool_options: True -> False": (
        "either is no dict of options"
    ),
    "pooled_db/driver/connection.py Connection._judge: 0 -> 1": (
        "no server refuses a statement of either size"
    ),
    'pooled_db/fork.py <module>: hasattr(os, "register_at_fork") -> True': (
        "it is missing only where nothing forks"
    ),
    "pooled_db/middleware.py PooledConnectionMiddleware._check_out_async: "
    "self.admission.age_header -> True": (
        "age() looks at it, too: the condition only saves a call"
    ),
    "pooled_db/middleware.py _connect_in_thread: , thread_sensitive=True -> nothing": (
        "it is what asgiref does unless told otherwise"
    ),
    "pooled_db/request/release.py arelease: , thread_sensitive=True -> nothing": (
        "it is what asgiref does unless told otherwise"
    ),
    "pooled_db/pools.py _template: template.pool_timeout = timeout -> pass": (
        "it is the same, told by judging all settings again"
    ),
    "pooled_db/pools.py leading: pool.home is not None -> True": _NARROWS,
    "pooled_db/pools.py leading: is not -> is": (
        "it is the same, told by reading all of them"
    ),
    "pooled_db/pools.py leading: pool.home is not None and "
    "pool.home.is_of(database) -> False": (
        "it is the same, told by reading all of them"
    ),
    "pooled_db/request/accept.py prefers_json: , LookupError -> nothing": (
        "Django makes it a ValueError since 5.2"
    ),
    "pooled_db/request/patience.py Patience.__init__: 0.0 -> 1.0": (
        "a lag fades before the first pause; all else is set before anybody reads it"
    ),
    "pooled_db/request/patience.py Patience.__init__: self._paused_at = 0.0 -> pass": (
        "_pause() sets it before anybody reads it"
    ),
    "pooled_db/request/patience.py Patience.__init__: self._asking_before "
    "= 0.0 -> pass": ("_pause() sets it before anybody reads it"),
    "pooled_db/request/patience.py Patience.__init__: self._lending_before "
    "= 0.0 -> pass": ("_pause() sets it before anybody reads it"),
    "pooled_db/fork.py notice_fork: os.getpid() != process -> True": (
        "it looks again, with the lock: the first look only saves that"
    ),
}
