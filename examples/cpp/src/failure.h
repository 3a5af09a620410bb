// Errors of calls, with the details that the server sent.
#pragma once

#include <optional>
#include <stdexcept>

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>

// Throws if a call failed.
inline void check(const grpc::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.error_message());
}

// Returns the error detail of a type, if the server sent one.
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
