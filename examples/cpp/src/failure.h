// What a program can read from an error.
#pragma once

#include <optional>
#include <stdexcept>

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>

// Throws unless a call went well.
inline void check(const grpc::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.error_message());
}

// The detail of a type, if the server sent one.
template <typename Detail>
std::optional<Detail> detail(const grpc::Status& status) {
  google::rpc::Status sent;
  Detail found;
  if (sent.ParseFromString(status.error_details())) {
    for (const auto& any : sent.details()) {
      if (any.UnpackTo(&found)) return found;
    }
  }
  return std::nullopt;
}
