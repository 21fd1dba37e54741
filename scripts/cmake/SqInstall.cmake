# `cmake --install`: the tools, the core library (all that needs no LibTorch) with its headers, and a
# CMake package, so that another project can find_package(squeezellm) and link squeezellm::core.

include(CMakePackageConfigHelpers)

set(core_layers base packed)
add_library(sq_core INTERFACE)
set_target_properties(sq_core PROPERTIES EXPORT_NAME core)
foreach(layer IN LISTS core_layers)
  target_link_libraries(sq_core INTERFACE sq_${layer})
  install(TARGETS sq_${layer} EXPORT squeezellm ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/sq/${layer}
          DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sq)
endforeach()
install(TARGETS sq_core EXPORT squeezellm)
