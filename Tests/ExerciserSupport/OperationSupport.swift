package import EgoCore
package import EgoOperations

extension MasterKey {
    /// A master key that the program and the tests that kill it both know.
    package static func exercise(_ number: UInt8) throws -> MasterKey {
        try MasterKey(bytes: [UInt8](repeating: number, count: 32))
    }
}

extension Operator {
    /// Whoever runs the program, with a reason.
    package static var forExercise: Operator { .current(reason: "an exercise") }
}
