import CPostgreSQL
import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A statement with its parameters.
struct PostgresStatement {
    var sql: String
    var parameters: [PostgresValue]

    init(_ sql: String, _ parameters: [PostgresValue] = []) {
        self.sql = sql
        self.parameters = parameters
    }

    /// About how many bytes it takes on its way.
    var size: Int { parameters.reduce(sql.utf8.count) { $0 + $1.size } }
}

/// One handle of libpq. Belongs to the executor of its ``PostgresWorker``.
final class PostgresConnection {
    /// For whoever uses the library without this class, which only a measurement does.
    let handle: OpaquePointer
    /// Names of the statements that the server has prepared for this connection.
    private var prepared: [Preparation: String] = [:]
    private var nextName = 0
    /// Beyond so many, statements are planned each time: those of a read model can be of any number.
    private static let preparedLimit = 500

    /// What a prepared statement is made for: with other types of parameters it is another one.
    fileprivate struct Preparation: Hashable {
        var sql: String
        var types: [Oid]
    }
    /// Whether a transaction of ``transaction(_:_:)`` is open.
    var isInTransaction = false
    /// Which of the statements of the last ``batch(_:)`` failed; nil when none did, or the connection was lost.
    private(set) var failedIndex: Int?

    /// Whether a transaction is open in which no statement has failed.
    var canCommit: Bool { PQtransactionStatus(handle) == PQTRANS_INTRANS }
    private var channelName: String?
    private var isListening = false
    /// Whether libpq would hand out the rows of a pipeline's first statement one by one, as it did those of the last one.
    private var isByRow = false
    private var isBroken = false
    /// What was read from the server when the connection was made.
    let session: PostgresSession
    private let options: PostgresStoreOptions

    /// Connects, and makes sure that what is acknowledged on this connection is durable.
    init(_ url: PostgresURL, options: PostgresStoreOptions) throws(PostgresError) {
        guard let handle = url.connect(options) else { throw PostgresError(connection: nil, isConnectionLost: true) }
        self.handle = handle
        self.options = options
        guard PQstatus(handle) == CONNECTION_OK else {
            let error = PostgresError(connection: handle, isConnectionLost: true)
            PQfinish(handle)
            throw error
        }
        PQsetNoticeProcessor(handle, { _, _ in }, nil)
        let version = PQserverVersion(handle)
        guard version >= 130_000 else {
            PQfinish(handle)
            throw PostgresError(
                sqlState: "0A000", message: "the server is PostgreSQL \(version / 10_000), Ego needs 13 or newer")
        }
        do throws(PostgresError) {
            session = try PostgresSession(handle, options: options)
        } catch {
            PQfinish(handle)
            throw error
        }
        for setting in session.settings { _ = try execute(setting.sql, setting.parameters) }
    }

    deinit { PQfinish(handle) }

    /// Whether the connection can be used for the next call.
    var isUsable: Bool { !isBroken && PQstatus(handle) == CONNECTION_OK && PQtransactionStatus(handle) == PQTRANS_IDLE }

    /// What a cancel request is made from; outlives the connection.
    private(set) lazy var cancelHandle: PostgresCancel? = PQgetCancel(handle).map(PostgresCancel.init)

    // MARK: One statement

    /// Runs one statement, and hands each row to `row` as it arrives; `row` returns false to stop.
    func query(
        _ sql: String, _ parameters: [PostgresValue] = [], row: (PostgresRow) throws(PostgresError) -> Bool
    ) throws(PostgresError) {
        if session.isPooled, !isInTransaction, session.timeout != nil {
            // A setting of the session would stay with whoever gets it next.
            try transaction("BEGIN READ ONLY") { () throws(PostgresError) in
                try send(sql, parameters)
                try rows(row)
            }
            return
        }
        try send(sql, parameters)
        try rows(row)
    }

    /// The first row of a statement, read by `read`; nil when there is none.
    func first<Value>(
        _ sql: String, _ parameters: [PostgresValue] = [], _ read: (PostgresRow) -> Value
    ) throws(PostgresError) -> Value? {
        var value: Value?
        try query(sql, parameters) { (row) throws(PostgresError) in
            if value == nil { value = read(row) }
            return true
        }
        return value
    }

    /// All rows of a statement, read by `read`.
    func all<Value>(
        _ sql: String, _ parameters: [PostgresValue] = [], _ read: (PostgresRow) -> Value
    ) throws(PostgresError) -> [Value] {
        var values: [Value] = []
        try query(sql, parameters) { (row) throws(PostgresError) in
            values.append(read(row))
            return true
        }
        return values
    }

    /// All rows of a statement that returns few.
    func rows(_ statement: PostgresStatement) throws(PostgresError) -> [PostgresRow] {
        try send(statement.sql, statement.parameters)
        var rows: [PostgresRow] = []
        try results { (result) throws(PostgresError) in rows = result.rows }
        return rows
    }

    /// Runs a statement to its end; returns how many rows it changed.
    @discardableResult
    func execute(_ sql: String, _ parameters: [PostgresValue] = []) throws(PostgresError) -> Int {
        try send(sql, parameters)
        var changed = 0
        try results { (result) throws(PostgresError) in changed = result.changedRows }
        return changed
    }

    /// Runs statements that return nothing and take no parameters, such as a schema, in one implicit transaction.
    func script(_ sql: String) throws(PostgresError) {
        guard PQsendQuery(handle, sql) == 1 else { throw failure() }
        try results { _ in }
    }

    // MARK: Several statements

    /// Sends statements together and collects what each of them returned. Without `BEGIN` among them they are one
    /// implicit transaction.
    func batch(_ statements: [PostgresStatement]) throws(PostgresError) -> [PostgresResult] {
        try receive(try send(statements))
    }

    /// Sends statements whose results ``receive(_:)`` then reads; nothing else may be done with the connection before that.
    func send(_ statements: [PostgresStatement]) throws(PostgresError) -> Sent {
        guard PQenterPipelineMode(handle) == 1 else { throw failure() }
        var steps: [Step] = []
        if isByRow {
            // libpq forgets that it hands out row by row when it comes to the second statement of a pipeline.
            try sent(sendUnprepared("", PostgresParameters([])))
            steps.append(.nothing)
            isByRow = false
        }
        var pending: [Preparation: String] = [:]
        for statement in statements {
            let parameters = PostgresParameters(statement.parameters)
            let preparation = Preparation(sql: statement.sql, types: parameters.types)
            if let name = prepared[preparation] ?? pending[preparation] {
                try sent(sendPrepared(name, parameters))
            } else if !preparesStatements {
                try sent(sendUnprepared(statement.sql, parameters))
            } else {
                let name = newName()
                try sent(sendPreparation(name, statement.sql, parameters))
                try sent(sendPrepared(name, parameters))
                pending[preparation] = name
                steps.append(.preparation(preparation, name: name))
            }
            steps.append(.execution)
        }
        try sent(PQpipelineSync(handle))
        return Sent(steps: steps)
    }

    /// Whether the answer to what was sent arrives within `patience`. It comes in one piece, unless it is long.
    func isAnswered(within patience: Duration) -> Bool {
        let deadline = MonotonicTime.now.advanced(by: patience)
        while PQconsumeInput(handle) == 1, PQisBusy(handle) != 0 {
            let rest = (deadline.nanoseconds - MonotonicTime.now.nanoseconds) / 1_000_000
            if rest <= 0 { return false }
            var descriptor = pollfd(fd: PQsocket(handle), events: Int16(POLLIN), revents: 0)
            _ = poll(&descriptor, 1, Int32(clamping: rest))
        }
        return true
    }

    /// What was sent together.
    struct Sent {
        fileprivate let steps: [Step]
    }

    /// What the server answers one after the other in a pipeline.
    fileprivate enum Step {
        case preparation(Preparation, name: String)
        case execution
        case nothing
    }

    /// Collects what each of the statements returned.
    func receive(_ sent: Sent) throws(PostgresError) -> [PostgresResult] {
        try receive(sent, isLastByRow: false) { _ in true }
    }

    /// Sends a statement and, with it, one whose rows are handed to `row` as they arrive; `row` returns false to stop.
    ///
    /// - Returns: what the first returned, also when the other was stopped.
    func query(
        _ first: PostgresStatement, and statement: PostgresStatement,
        row: (PostgresRow) throws(PostgresError) -> Bool
    ) throws(PostgresError) -> PostgresResult? {
        if session.isPooled, session.timeout != nil {
            // A setting of the session would stay with whoever gets it next.
            return try transaction("BEGIN READ ONLY") { () throws(PostgresError) in
                let found = try batch([first])
                guard let result = found.first else { return nil }
                try query(statement.sql, statement.parameters, row: row)
                return result
            }
        }
        return try receive(try send([first, statement]), isLastByRow: true, row).first
    }

    private func receive(
        _ sent: Sent, isLastByRow: Bool, _ row: (PostgresRow) throws(PostgresError) -> Bool
    ) throws(PostgresError) -> [PostgresResult] {
        var collected: [PostgresResult] = []
        var failed: PostgresError?
        var isStopped = false
        failedIndex = nil
        for (index, step) in sent.steps.enumerated() {
            if isLastByRow, index == sent.steps.count - 1 { PQsetSingleRowMode(handle) }
            while let next = PQgetResult(handle) {
                let result = PostgresResult(next)
                switch result.status {
                case PGRES_SINGLE_TUPLE:
                    guard failed == nil, !isStopped, let found = result.first else { continue }
                    do throws(PostgresError) {
                        isStopped = try !row(found)
                    } catch {
                        failed = error
                    }
                    // The rest is not wanted: without this the server would send all of it. Behind a proxy the request
                    // could meet another's statement.
                    if isStopped || failed != nil, !session.isPooled { cancelHandle?.cancel() }
                case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE:
                    let error = PostgresError(result, isConnectionLost: PQstatus(handle) != CONNECTION_OK)
                    if isStopped, error.sqlState == "57014" { continue }
                    if failed == nil {
                        failed = error
                        failedIndex = collected.count
                    }
                case PGRES_PIPELINE_ABORTED: break
                default:
                    // What was prepared stays prepared, whatever becomes of the transaction.
                    switch step {
                    case .preparation(let preparation, let name): prepared[preparation] = name
                    case .execution: collected.append(result)
                    case .nothing: break
                    }
                }
            }
            if PQstatus(handle) != CONNECTION_OK { break }
        }
        synchronize(&failed, isStopped: isStopped)
        if PQstatus(handle) == CONNECTION_OK, !isBroken {
            if PQexitPipelineMode(handle) != 1 { isBroken = true }
            if failed != nil, PQtransactionStatus(handle) != PQTRANS_IDLE {
                // The first error is what the caller has to know.
                do { try script("ROLLBACK") } catch { isBroken = true }
            }
        }
        if let failed { throw failed }
        if PQstatus(handle) != CONNECTION_OK { throw failure() }
        return collected
    }

    /// Reads up to the end of a pipeline. Statements without `BEGIN` are committed there, which can fail.
    ///
    /// - Parameter isStopped: whether a request to cancel was sent, which may arrive as late as this.
    private func synchronize(_ failed: inout PostgresError?, isStopped: Bool) {
        var isAfterNothing = false
        while PQstatus(handle) == CONNECTION_OK {
            guard let next = PQgetResult(handle) else {
                // One nothing ends the results before; where the server went there is no end, and nothing again and again.
                if isAfterNothing {
                    isBroken = true
                    if failed == nil { failed = PostgresError(connection: handle, isConnectionLost: true) }
                    return
                }
                isAfterNothing = true
                continue
            }
            isAfterNothing = false
            let result = PostgresResult(next)
            if result.status == PGRES_PIPELINE_SYNC { return }
            let error = PostgresError(result, isConnectionLost: PQstatus(handle) != CONNECTION_OK)
            if failed == nil, !(isStopped && error.sqlState == "57014") { failed = error }
        }
    }

    // MARK: Notifications

    private static let selectChannel = "SELECT 'ego_' || 'events_store'::regclass::oid"

    /// The channel of this store.
    func channel() throws(PostgresError) -> String {
        if let channelName { return channelName }
        let name = try first(Self.selectChannel) { $0.text(0) } ?? "ego"
        channelName = name
        return name
    }

    /// Listens on the store's channel from now on. Nothing happens the second time.
    func listen() throws(PostgresError) {
        if isListening { return }
        // The name is a word and a number.
        try script("LISTEN \(try channel())")
        isListening = true
    }

    /// Waits until a notification arrives or `timeout` has passed; returns whether one has. Reads all that are there.
    func awaitNotification(timeout: Duration) throws(PostgresError) -> Bool {
        func take() -> Bool {
            var isAny = false
            while let notification = PQnotifies(handle) {
                PQfreemem(notification)
                isAny = true
            }
            return isAny
        }
        if take() { return true }
        var descriptor = pollfd(fd: PQsocket(handle), events: Int16(POLLIN), revents: 0)
        let milliseconds = Int32(clamping: Int64(timeout / .milliseconds(1)))
        _ = poll(&descriptor, 1, milliseconds)
        guard PQconsumeInput(handle) == 1 else { throw failure() }
        return take()
    }

    // MARK: libpq

    private func newName() -> String {
        nextName += 1
        return "ego_\(nextName)"
    }

    /// What libpq itself says is of the connection, also where it has not noticed yet that it is gone.
    private func failure() -> PostgresError {
        isBroken = true
        return PostgresError(connection: handle, isConnectionLost: true)
    }

    private func sent(_ code: Int32) throws(PostgresError) {
        if code != 1 { throw failure() }
    }

    private func send(_ sql: String, _ values: [PostgresValue]) throws(PostgresError) {
        let parameters = PostgresParameters(values)
        let preparation = Preparation(sql: sql, types: parameters.types)
        if let name = prepared[preparation] {
            try sent(sendPrepared(name, parameters))
        } else if !preparesStatements {
            try sent(sendUnprepared(sql, parameters))
        } else {
            let name = newName()
            try sent(sendPreparation(name, sql, parameters))
            try results { _ in }
            prepared[preparation] = name
            try sent(sendPrepared(name, parameters))
        }
    }

    private var preparesStatements: Bool { !session.isPooled && prepared.count < Self.preparedLimit }

    private func sendPreparation(_ name: String, _ sql: String, _ parameters: PostgresParameters) -> Int32 {
        parameters.types.withUnsafeBufferPointer {
            PQsendPrepare(handle, name, sql, parameters.count, $0.baseAddress)
        }
    }

    private func sendPrepared(_ name: String, _ parameters: PostgresParameters) -> Int32 {
        parameters.withPointers { values, lengths, formats in
            PQsendQueryPrepared(handle, name, parameters.count, values, lengths, formats, 1)
        }
    }

    private func sendUnprepared(_ sql: String, _ parameters: PostgresParameters) -> Int32 {
        parameters.types.withUnsafeBufferPointer { types in
            parameters.withPointers { values, lengths, formats in
                PQsendQueryParams(
                    handle, sql, parameters.count, types.baseAddress, values, lengths, formats, 1)
            }
        }
    }

    /// Reads what was sent for row by row, so that a page is never in memory twice.
    private func rows(_ row: (PostgresRow) throws(PostgresError) -> Bool) throws(PostgresError) {
        PQsetSingleRowMode(handle)
        isByRow = true
        var isStopped = false
        var failed: PostgresError?
        while let next = PQgetResult(handle) {
            let result = PostgresResult(next)
            switch result.status {
            case PGRES_SINGLE_TUPLE, PGRES_TUPLES_OK, PGRES_COMMAND_OK:
                guard !isStopped, failed == nil, let found = result.first else { continue }
                do throws(PostgresError) {
                    if try row(found) { continue }
                } catch {
                    failed = error
                }
                // The rest is not wanted: without this the server would send all of it. Behind a proxy the request could
                // meet another's statement.
                isStopped = true
                if !session.isPooled { cancelHandle?.cancel() }
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH: failed = refuseCopy(result.status)
            default:
                let error = PostgresError(result, isConnectionLost: PQstatus(handle) != CONNECTION_OK)
                let isOurs = isStopped && error.sqlState == "57014"
                if !isOurs, failed == nil { failed = error }
            }
        }
        if let failed { throw failed }
        if PQstatus(handle) != CONNECTION_OK { throw failure() }
    }

    /// Ends a copy that nobody here asked for: without this its first result would come again and again.
    private func refuseCopy(_ status: ExecStatusType) -> PostgresError {
        if status != PGRES_COPY_OUT { PQputCopyEnd(handle, "there is nothing to copy") }
        if status != PGRES_COPY_IN {
            var row: UnsafeMutablePointer<CChar>?
            while PQgetCopyData(handle, &row, 0) >= 0 { PQfreemem(row) }
        }
        return PostgresError(sqlState: "0A000", message: "COPY is not taken here")
    }

    /// Begins `COPY ... FROM STDIN`.
    func beginCopy(_ sql: String) throws(PostgresError) {
        guard PQsendQuery(handle, sql) == 1 else { throw failure() }
        guard let next = PQgetResult(handle) else { throw failure() }
        let result = PostgresResult(next)
        if result.status == PGRES_COPY_IN { return }
        let error = PostgresError(result, isConnectionLost: PQstatus(handle) != CONNECTION_OK)
        try results { _ in }
        throw error
    }

    /// Ends a copy that was begun; returns how many rows it has copied.
    ///
    /// - Parameter reason: why nothing of it counts; nil to take it.
    func endCopy(_ reason: String? = nil) throws(PostgresError) -> Int {
        guard PQputCopyEnd(handle, reason) == 1 else { throw failure() }
        var copied = 0
        try results { (result) throws(PostgresError) in copied = result.changedRows }
        return copied
    }

    private func results(_ body: (PostgresResult) throws(PostgresError) -> Void) throws(PostgresError) {
        var failed: PostgresError?
        while let next = PQgetResult(handle) {
            let result = PostgresResult(next)
            switch result.status {
            case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: try body(result)
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH: failed = refuseCopy(result.status)
            default:
                if failed == nil {
                    failed = PostgresError(result, isConnectionLost: PQstatus(handle) != CONNECTION_OK)
                }
            }
            if PQstatus(handle) != CONNECTION_OK { break }
        }
        if let failed { throw failed }
        if PQstatus(handle) != CONNECTION_OK { throw failure() }
    }
}
