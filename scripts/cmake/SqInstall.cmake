# `cmake --install`: the tools, the core library (all that needs no LibTorch, but text) with its headers, and
# a CMake package, so that another project can find_package(squeezellm) and link squeezellm::core.

include(CMakePackageConfigHelpers)

set(core_layers base packed checkpoint quant kernels)
add_library(sq_core INTERFACE)
set_target_properties(sq_core PROPERTIES EXPORT_NAME core)
install(TARGETS sq_cuda EXPORT squeezellm ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(layer IN LISTS core_layers)
  target_link_libraries(sq_core INTERFACE sq_${layer})
  install(TARGETS sq_${layer} EXPORT squeezellm ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/sq/${layer}
          DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sq
          PATTERN torch_writer.h EXCLUDE)
endforeach()

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/squeezellm)
install(TARGETS sq_core EXPORT squeezellm)
install(EXPORT squeezellm NAMESPACE squeezellm:: FILE squeezellm-targets.cmake
        DESTINATION ${package_folder})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/squeezellm-config.cmake.in
                              ${CMAKE_BINARY_DIR}/squeezellm-config.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/squeezellm-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)  # below 1.0 a minor version may break
install(FILES ${CMAKE_BINARY_DIR}/squeezellm-config.cmake
              ${CMAKE_BINARY_DIR}/squeezellm-config-version.cmake
        DESTINATION ${package_folder})
