import CSQLite

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// How a connection waits for another one's lock.
///
/// SQLite's own handler soon sleeps for 25 to 100 ms at a time. Who holds the lock has it again long before that: of two
/// processes that write, one would wait while the other does a hundred commits.
enum SQLiteBusyWait {
    /// Waits as long as a commit takes for as long as some commits take, then longer at a time.
    private static let steps: [(tries: Int32, microseconds: Int32)] = [(100, 200), (80, 1_000), (.max, 5_000)]

    /// Lets a connection wait so long in all before it reports that the database is busy.
    static func set(on handle: OpaquePointer, milliseconds: Int32) {
        guard milliseconds > 0 else {
            sqlite3_busy_timeout(handle, 0)
            return
        }
        sqlite3_busy_handler(
            handle, { limit, tries in SQLiteBusyWait.wait(tries, limit: Int(bitPattern: limit)) },
            UnsafeMutableRawPointer(bitPattern: Int(milliseconds)))
    }

    /// Waits once more; 0 when the time has run out.
    private static func wait(_ tries: Int32, limit milliseconds: Int) -> Int32 {
        var (before, waited) = (tries, 0)
        for step in steps {
            let done = min(before, step.tries)
            waited += Int(done) * Int(step.microseconds)
            before -= done
            if done < step.tries {
                if waited >= milliseconds * 1_000 { return 0 }
                usleep(useconds_t(step.microseconds))
                return 1
            }
        }
        return 0
    }
}
