import CSQLite
import EgoCore

/// Takes events out of a statement while it runs, as an SQL function in its condition.
///
/// A row that leaves a statement costs a call for each of its columns, each of which looks for the column, its connection
/// and an error; a function is handed all values at once, and the statement goes on by itself.
/// `ego_take(...)` is true for the event that fills the page; that is the only row to leave.
///
/// Belongs to its connection.
final class EventSink {
    /// Not retained: the connection owns this.
    private unowned(unsafe) let connection: SQLiteConnection
    // One thread at a time uses a connection, and none of these is used while it is being changed.
    @exclusivity(unchecked) private var events: [PersistedEvent] = []
    @exclusivity(unchecked) private var room = 0
    @exclusivity(unchecked) private var bytes = 0
    @exclusivity(unchecked) private var isFull = false
    @exclusivity(unchecked) private var isOpen = false
    @exclusivity(unchecked) private var source = Source.journal
    @exclusivity(unchecked) private var failure: SQLiteError?

    /// Where the events come from.
    enum Source {
        /// The stream of one entity, by sequence number.
        case stream(PersistenceID)
        /// The journal, by position, with the number of the entity behind the columns of the event.
        case journal
        /// The same, with the persistence ID and whether the entity was erased behind that.
        case joined
    }

    /// What a statement with this condition hands over.
    static func condition(_ more: String = "") -> String {
        "ego_take(\(SQLiteConnection.eventColumns)\(more.isEmpty ? "" : ", " + more))"
    }

    init(_ connection: SQLiteConnection) throws(SQLiteError) {
        self.connection = connection
        let code = sqlite3_create_function_v2(
            connection.handle, "ego_take", -1, SQLITE_UTF8 | SQLITE_DIRECTONLY,
            Unmanaged.passUnretained(self).toOpaque(),
            { context, _, values in
                let sink = Unmanaged<EventSink>.fromOpaque(sqlite3_user_data(context))
                sink._withUnsafeGuaranteedRef { $0.take(context, values) }
            }, nil, nil, nil)
        guard code == SQLITE_OK else { throw SQLiteError(connection.handle, code: code) }
    }

    /// Runs `statement`, whose condition hands over events in their order, to its end or until the page is full.
    func page(
        _ statement: SQLiteStatement, _ source: Source, limit: PageLimit, expecting count: Int
    ) throws(SQLiteError) -> (events: [PersistedEvent], isFull: Bool) {
        (self.source, room, bytes, isFull, isOpen) = (source, limit.rows, limit.bytes, false, true)
        events.reserveCapacity(count)
        defer { (events, failure, isOpen) = ([], nil, false) }
        do throws(SQLiteError) {
            _ = try statement.step()
        } catch {
            throw failure ?? error
        }
        return (events, isFull)
    }

    private func take(_ context: OpaquePointer?, _ values: UnsafeMutablePointer<OpaquePointer?>?) {
        guard isOpen, let values else {
            sqlite3_result_error(context, "ego_take is for the store itself", -1)
            return
        }
        do throws(SQLiteError) {
            if isFull { return }
            try add(FunctionValues(values))
            if room > 0, bytes > 0 { return }  // no result is NULL, which is not true
            isFull = true
            sqlite3_result_int(context, 1)
        } catch {
            failure = error
            sqlite3_result_error_code(context, error.code)
        }
    }

    private func keep(_ event: consuming PersistedEvent) {
        room -= 1
        bytes -= event.payload.count
        events.append(event)
    }

    private func add(_ row: FunctionValues) throws(SQLiteError) {
        switch source {
        case .stream(let id): keep(try connection.event(row, of: id, isErased: false))
        case .journal:
            let entity = row.integer(SQLiteConnection.eventColumnCount)
            // An event of no entity, which only damage leaves, belongs to no page.
            guard let id = try connection.persistenceID(entity) else { return }
            keep(try connection.event(row, of: id, isErased: connection.erased.contains(entity)))
        case .joined:
            let entity = row.integer(SQLiteConnection.eventColumnCount)
            let id: PersistenceID
            if let known = connection.ids.id(of: entity) {
                id = known
            } else {
                let text = row.bytes(SQLiteConnection.eventColumnCount + 1)
                id = PersistenceID(stored: String(decoding: text, as: UTF8.self))
                connection.ids.add(id, of: entity)
            }
            keep(
                try connection.event(
                    row, of: id, isErased: row.integer(SQLiteConnection.eventColumnCount + 2) != 0))
        }
    }
}

/// Values by their number, counted from 0, until the statement goes on.
protocol RowValues {
    func integer(_ column: Int32) -> Int64
    func isNull(_ column: Int32) -> Bool
    /// The bytes where they lie; none where the value is NULL.
    func bytes(_ column: Int32) -> UnsafeRawBufferPointer
}

/// The arguments of a function.
private struct FunctionValues: RowValues {
    private let values: UnsafeMutablePointer<OpaquePointer?>

    init(_ values: UnsafeMutablePointer<OpaquePointer?>) { self.values = values }

    func integer(_ column: Int32) -> Int64 { sqlite3_value_int64(values[Int(column)]) }
    func isNull(_ column: Int32) -> Bool { sqlite3_value_type(values[Int(column)]) == SQLITE_NULL }

    func bytes(_ column: Int32) -> UnsafeRawBufferPointer {
        guard let start = sqlite3_value_blob(values[Int(column)]) else {
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        return UnsafeRawBufferPointer(start: start, count: Int(sqlite3_value_bytes(values[Int(column)])))
    }
}
