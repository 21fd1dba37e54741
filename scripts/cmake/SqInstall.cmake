# `cmake --install`: the tools, the core library with its public headers, and a CMake package, so that another project
# can find_package(squeezellm) and link squeezellm::core. The core is all that needs neither LibTorch nor a tokenizer.

include(CMakePackageConfigHelpers)

set(core_layers base packed checkpoint quant kernels)

# The headers that sq/squeezellm.h includes, directly or not, and those of the CUDA kernels. Nothing else is public.
set(public_headers
    squeezellm.h
    base/error.h base/float_type.h base/layer_parts.h base/matrix_view.h base/output_file.h base/parallel.h
    base/problem_list.h base/row_clusterer.h
    checkpoint/packed_checkpoint.h checkpoint/safetensors.h checkpoint/tensor.h checkpoint/tensor_store.h
    kernels/packed_matmul.h
    kernels/cuda_csr.h kernels/cuda_device.h kernels/cuda_kmeans.h kernels/cuda_matmul.h
    packed/bit_pack.h packed/csr.h packed/packed_layer.h
    quant/distortion.h quant/kmeans1d.h quant/least_weight.h quant/outliers.h quant/quantize_layer.h
    quant/segmentation.h quant/sensitivity.h quant/weighted_points.h)
foreach(header IN LISTS public_headers)
  get_filename_component(folder ${header} DIRECTORY)
  install(FILES ${PROJECT_SOURCE_DIR}/include/sq/${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sq/${folder})
endforeach()

add_library(sq_core INTERFACE)
set_target_properties(sq_core PROPERTIES EXPORT_NAME core)
install(TARGETS sq_cuda EXPORT squeezellm ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(layer IN LISTS core_layers)
  target_link_libraries(sq_core INTERFACE sq_${layer})
  install(TARGETS sq_${layer} EXPORT squeezellm ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endforeach()

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/squeezellm)
install(TARGETS sq_core EXPORT squeezellm)
install(EXPORT squeezellm NAMESPACE squeezellm:: FILE squeezellm-targets.cmake
        DESTINATION ${package_folder})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/squeezellm-config.cmake.in
                              ${CMAKE_BINARY_DIR}/squeezellm-config.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/squeezellm-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)  # before 1.0 a minor version may break the interface
install(FILES ${CMAKE_BINARY_DIR}/squeezellm-config.cmake
              ${CMAKE_BINARY_DIR}/squeezellm-config-version.cmake
        DESTINATION ${package_folder})
