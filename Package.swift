// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "ego",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "EgoCore", targets: ["EgoCore"]),
        .library(name: "Ego", targets: ["Ego"]),
        .library(name: "EgoSQLite", targets: ["EgoSQLite"]),
        .library(name: "EgoPostgres", targets: ["EgoPostgres"]),
        .library(name: "EgoTestKit", targets: ["EgoTestKit"]),
        .library(name: "EgoOperations", targets: ["EgoOperations"]),
        .library(name: "EgoCommands", targets: ["EgoCommands"]),
        .library(name: "ProtobufReflection", targets: ["ProtobufReflection"]),
        .library(name: "CommandLineKit", targets: ["CommandLineKit"]),
        .executable(name: "ego", targets: ["ego"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    ],
    targets: [
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CPostgreSQL", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CReadline", providers: [.apt(["libreadline-dev"])]),
        .target(name: "EgoCore", dependencies: [.protobuf, .crypto]),
        .target(name: "Ego", dependencies: ["EgoCore", .protobuf, .logging]),
        .target(name: "EgoSQLite", dependencies: ["CSQLite", "EgoCore"]),
        .target(name: "EgoPostgres", dependencies: ["CPostgreSQL", "EgoCore"]),
        .target(name: "EgoTestKit", dependencies: ["Ego", "EgoCore", .protobuf]),
        .target(
            name: "EgoOperations",
            dependencies: ["Ego", "EgoCore", "EgoTestKit", "ProtobufReflection", .crypto, .logging, .protobuf]),
        .target(name: "ProtobufReflection", dependencies: [.protobuf]),
        .target(name: "CommandLineKit"),
        .target(name: "LineEditor", dependencies: ["CReadline"]),
        .target(
            name: "EgoCommands",
            dependencies: [
                "CommandLineKit", "Ego", "EgoCore", "EgoOperations", "EgoPostgres", "EgoSQLite", "LineEditor",
                "ProtobufReflection", .logging, .protobuf,
            ]),
        .target(name: "BankDomain", dependencies: ["EgoCore", "EgoOperations", .protobuf]),
        .executableTarget(name: "ego", dependencies: ["BankDomain", "EgoCommands"]),
        .testTarget(
            name: "EgoCoreTests", dependencies: ["BankDomain", "EgoCore", "EgoTestKit", .crypto, .protobuf]),
        // How tests start programs.
        .target(name: "ChildProcess", path: "Tests/ChildProcess"),
        // A private PostgreSQL server for tests.
        .target(name: "PostgresServer", dependencies: ["ChildProcess"], path: "Tests/PostgresServer"),
        .testTarget(
            name: "StoreContractTests",
            dependencies: ["EgoCore", "EgoPostgres", "EgoSQLite", "EgoTestKit", "PostgresServer"]),
        .testTarget(
            name: "EgoTests",
            dependencies: [
                "BankDomain", "Ego", "EgoCore", "EgoOperations", "EgoPostgres", "EgoSQLite", "EgoTestKit",
                "PostgresServer", .logging, .protobuf,
            ]),
        .testTarget(name: "EgoTestKitTests", dependencies: ["BankDomain", "Ego", "EgoCore", "EgoTestKit", .protobuf]),
        // What the program below and the tests that kill it have in common.
        .target(
            name: "ExerciserSupport", dependencies: ["ChildProcess", "EgoCore", "EgoOperations"],
            path: "Tests/ExerciserSupport"),
        // A program that tests kill: it appends, and prints what was acknowledged.
        .executableTarget(
            name: "StoreExerciser",
            dependencies: [
                "BankDomain", "Ego", "EgoCore", "EgoOperations", "EgoPostgres", "EgoSQLite", "EgoTestKit",
                "ExerciserSupport", .protobuf,
            ],
            path: "Tests/StoreExerciser"),
        .testTarget(
            name: "EgoSQLiteTests",
            dependencies: [
                "BankDomain", "ChildProcess", "CSQLite", "EgoCore", "EgoSQLite", "EgoTestKit", "ExerciserSupport",
                "StoreExerciser",
            ]),
        .testTarget(
            name: "EgoPostgresTests",
            dependencies: [
                "BankDomain", "ChildProcess", "Ego", "EgoCore", "EgoOperations", "EgoPostgres", "EgoTestKit",
                "ExerciserSupport", "PostgresServer", "StoreExerciser", .protobuf,
            ]),
        .testTarget(
            name: "EgoOperationsTests",
            dependencies: [
                "BankDomain", "ChildProcess", "Ego", "EgoCore", "EgoOperations", "EgoSQLite", "EgoTestKit",
                "ExerciserSupport", "ProtobufReflection", "StoreExerciser", .protobuf,
            ]),
        .testTarget(
            name: "ProtobufReflectionTests",
            dependencies: ["BankDomain", "EgoOperations", "EgoTestKit", "ProtobufReflection", .protobuf]),
        .testTarget(name: "CommandLineKitTests", dependencies: ["CommandLineKit", "EgoTestKit"]),
        .testTarget(name: "LineEditorTests", dependencies: ["LineEditor"]),
        .testTarget(
            name: "EgoCommandsTests",
            dependencies: [
                "BankDomain", "ChildProcess", "CommandLineKit", "Ego", "EgoCommands", "EgoCore", "EgoOperations",
                "EgoSQLite", "EgoTestKit", "LineEditor", "PostgresServer", "ProtobufReflection", "SchemaOps",
                "StoreExerciser", "ego", .protobuf,
            ]),
        // An operator binary whose messages have everything that a session can ask for.
        .executableTarget(
            name: "SchemaOps", dependencies: ["EgoCommands", "EgoCore", .protobuf], path: "Tests/SchemaOps"),
        // The operator binary of the README.
        .executableTarget(
            name: "CountingOps", dependencies: ["EgoCommands", "EgoCore", .protobuf], path: "Tests/CountingOps"),
        .testTarget(
            name: "ReadmeTests",
            dependencies: [
                "ChildProcess", "CountingOps", "Ego", "EgoCore", "EgoSQLite", "EgoTestKit", "PostgresServer", "ego",
                .protobuf,
            ]),
    ]
)

extension Target.Dependency {
    static var protobuf: Self { .product(name: "SwiftProtobuf", package: "swift-protobuf") }
    static var logging: Self { .product(name: "Logging", package: "swift-log") }
    static var crypto: Self { .product(name: "Crypto", package: "swift-crypto") }
}

for target in package.targets where target.type != .system {
    target.swiftSettings = [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
        .treatAllWarnings(as: .error),
    ]
}
